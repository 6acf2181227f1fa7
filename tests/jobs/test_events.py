"""Events of a job: a listener that starts at any time gets every event of the latest attempt once."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.jobs.errors import TooManyListeners
from service.jobs.events import events_after, position_of
from service.jobs.listeners import Listeners


def row(state: str, fence: int, num_clips_done: int = 0, num_clips: int | None = 3) -> Any:
    """A job's row."""
    return SimpleNamespace(
        state=state, fence=fence, num_attempts=fence, num_clips=num_clips, num_clips_done=num_clips_done
    )


def ids_and_names(job: Any, last_event_id: str | None = None) -> list[tuple[str, str]]:
    """Id and name of each event after `last_event_id`."""
    return [(event.id, event.name) for event in events_after(job, last_event_id)]


def test_a_new_listener_gets_the_events_of_the_attempt_from_its_start() -> None:
    assert ids_and_names(row("queued", 0)) == [("0-queued", "queued")]
    assert ids_and_names(row("running", 1, num_clips=None)) == [("1-0", "running")]
    assert ids_and_names(row("running", 1, 2)) == [("1-0", "running"), ("1-1", "progress"), ("1-2", "progress")]
    assert ids_and_names(row("done", 1, 1)) == [("1-0", "running"), ("1-1", "progress"), ("1-end", "done")]
    assert ids_and_names(row("cancelled", 0)) == [("0-end", "cancelled")]


def test_a_listener_that_reconnects_gets_each_missed_event_once() -> None:
    states = [
        row("queued", 0),
        row("running", 1, num_clips=None),
        *(row("running", 1, number) for number in range(3)),
        row("queued", 1),
        *(row("running", 2, number) for number in range(4)),
        row("done", 2, 3),
    ]
    for first in range(len(states)):
        last_seen, seen = None, []
        # One listener reads each state from `first` on; another reads the first and the last state only.
        for job in states[first:]:
            for event, name in ids_and_names(job, last_seen):
                seen.append((event, name))
                last_seen = event
        assert len(set(seen)) == len(seen)
        assert [position_of(event) for event, _ in seen] == sorted(position_of(event) for event, _ in seen)
        assert seen[-1] == ("2-end", "done")
        seldom = ids_and_names(states[first])
        seldom += ids_and_names(states[-1], seldom[-1][0])
        assert seldom[-1] == ("2-end", "done")
        assert [pair for pair in seldom if pair[0].startswith("2-")] == [
            pair for pair in seen if pair[0].startswith("2-")
        ]
    assert ids_and_names(states[-1], "2-end") == []


def test_a_progress_event_has_the_number_of_clips() -> None:
    (_, first, second) = events_after(row("running", 1, 2), None)
    assert first.data is not None
    assert (first.data.attempt, first.data.state) == (1, "running")
    progress = [event.data.progress for event in (first, second) if event.data is not None]
    assert [(p.num_clips_done, p.num_clips) for p in progress if p is not None] == [(1, 3), (2, 3)]


def test_listeners_are_limited_and_signalled_for_their_own_job() -> None:
    listeners = Listeners(2)
    with listeners.listen("a") as of_a, listeners.listen("b") as of_b:
        with pytest.raises(TooManyListeners), listeners.listen("a"):
            raise AssertionError
        listeners.signal("a")
        assert of_a.is_set()
        assert not of_b.is_set()
        assert listeners.job_ids == {"a", "b"}
    assert listeners.job_ids == set()
    assert listeners.num_listeners == 0
    with listeners.listen("a") as of_a:
        listeners.close()
        assert of_a.is_set()


def test_a_caller_is_limited_to_its_share_of_the_listeners() -> None:
    """Regression: one key took all streams, and another key's job could not be followed."""
    listeners = Listeners(4, 0.5)
    with listeners.listen("a", "mine"), listeners.listen("b", "mine"):
        with pytest.raises(TooManyListeners, match="2 event streams of this caller"), listeners.listen("a", "mine"):
            raise AssertionError
        with (
            listeners.listen("c", "yours"),
            listeners.listen("c", "yours"),
            pytest.raises(TooManyListeners, match="4 event streams are open"),
            listeners.listen("d", "other"),
        ):
            raise AssertionError
    with listeners.listen("a", "mine"):
        assert listeners.num_listeners == 1
