"""What a listener is told, from any moment on: everything of the latest attempt, once."""

from types import SimpleNamespace
from typing import Any

import pytest

from service.jobs.errors import TooManyListeners
from service.jobs.events import missed_events, place_of
from service.jobs.listeners import Listeners


def row(state: str, fence: int, num_clips_done: int = 0, num_clips: int | None = 3) -> Any:
    """A job as the database has it."""
    return SimpleNamespace(
        state=state, fence=fence, num_attempts=fence, num_clips=num_clips, num_clips_done=num_clips_done
    )


def told(job: Any, last_seen: str | None = None) -> list[tuple[str, str]]:
    """Id and name of each event after the last one seen."""
    return [(event.id, event.name) for event in missed_events(job, last_seen)]


def test_an_attempt_is_told_from_its_start_whenever_one_begins_to_listen() -> None:
    assert told(row("queued", 0)) == [("0-queued", "queued")]
    assert told(row("running", 1, num_clips=None)) == [("1-0", "running")]
    assert told(row("running", 1, 2)) == [("1-0", "running"), ("1-1", "progress"), ("1-2", "progress")]
    assert told(row("done", 1, 1)) == [("1-0", "running"), ("1-1", "progress"), ("1-end", "done")]
    assert told(row("cancelled", 0)) == [("0-end", "cancelled")]


def test_a_listener_that_comes_back_is_told_what_it_missed_and_nothing_twice() -> None:
    whole_life = [
        row("queued", 0),
        row("running", 1, num_clips=None),
        *(row("running", 1, number) for number in range(3)),
        row("queued", 1),
        *(row("running", 2, number) for number in range(4)),
        row("done", 2, 3),
    ]
    for first in range(len(whole_life)):
        last_seen, seen = None, []
        # One that looks at every moment from `first` on, and one that looks then and at the end only.
        for job in whole_life[first:]:
            for event, name in told(job, last_seen):
                seen.append((event, name))
                last_seen = event
        assert len(set(seen)) == len(seen)
        assert [place_of(event) for event, _ in seen] == sorted(place_of(event) for event, _ in seen)
        assert seen[-1] == ("2-end", "done")
        seldom = told(whole_life[first])
        seldom += told(whole_life[-1], seldom[-1][0])
        assert seldom[-1] == ("2-end", "done")
        assert [pair for pair in seldom if pair[0].startswith("2-")] == [
            pair for pair in seen if pair[0].startswith("2-")
        ]
    assert told(whole_life[-1], "2-end") == []


def test_progress_says_how_far_the_attempt_is() -> None:
    (_, first, second) = missed_events(row("running", 1, 2), None)
    assert first.data is not None
    assert (first.data.attempt, first.data.state) == (1, "running")
    progress = [event.data.progress for event in (first, second) if event.data is not None]
    assert [(p.num_clips_done, p.num_clips) for p in progress if p is not None] == [(1, 3), (2, 3)]


def test_listeners_are_bounded_and_woken_for_their_own_job_only() -> None:
    listeners = Listeners(2)
    with listeners.listen("a") as of_a, listeners.listen("b") as of_b:
        with pytest.raises(TooManyListeners), listeners.listen("a"):
            raise AssertionError
        listeners.wake("a")
        assert of_a.is_set()
        assert not of_b.is_set()
        assert listeners.job_ids == {"a", "b"}
    assert listeners.job_ids == set()
    assert listeners.num_listeners == 0
    with listeners.listen("a") as of_a:
        listeners.close()
        assert of_a.is_set()
