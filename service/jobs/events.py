"""The events of a job, derived from its row; events are not stored.

The id of an event is the fencing token of the attempt and the step in it, so the row also determines the events that a
listener missed. Only the events of the latest attempt are derived:

    0-queued   1-0 1-1 1-2   (process died)   2-0 2-1 2-2 2-3 2-end
    queued     running, progress ...          running, progress ..., done
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from framewise.schemas.jobs import JobEvent
from service.jobs.leases import ENDED
from service.jobs.queries import AnyRow, progress

EVENT_ID = r"[0-9]{1,9}-(?:[0-9]{1,9}|queued|end)"
# `queued` comes after all clips of an attempt that was requeued, `end` comes last.
_STEPS = {"queued": 10**9, "end": 10**9 + 1}

Name = Literal["queued", "running", "progress", "done", "failed", "cancelled"]


class EventPosition(NamedTuple):
    """Position of an event in the sequence of a job's events; positions can be compared."""

    fencing_token: int
    step: int


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `data` is None for the last event, whose data is the whole job."""

    id: str
    name: Name
    data: JobEvent | None


def position_of(event_id: str) -> EventPosition:
    """The position that an event id encodes."""
    fencing_token, step = re.split("-", event_id)
    return EventPosition(int(fencing_token), _STEPS[step] if step in _STEPS else int(step))


def events_after(row: AnyRow, last_event_id: str | None) -> list[Event]:
    """The events of the latest attempt after `last_event_id`; all of its events for None."""
    last = EventPosition(-1, -1) if last_event_id is None else position_of(last_event_id)
    if last.fencing_token > row.fence:
        return []
    return _attempt_events(row, last.step + 1 if last.fencing_token == row.fence else 0)


def _attempt_events(row: AnyRow, first_step: int) -> list[Event]:
    """The events of the latest attempt from `first_step` on; earlier events are not created."""
    token, attempt = row.fence, row.num_attempts
    events = []
    if row.state == "queued":
        if first_step <= _STEPS["queued"]:
            events.append(Event(f"{token}-queued", "queued", JobEvent(state="queued", attempt=attempt, progress=None)))
        return events
    if token and first_step == 0:
        events.append(Event(f"{token}-0", "running", JobEvent(state="running", attempt=attempt, progress=None)))
    events += [
        Event(
            f"{token}-{step}",
            "progress",
            JobEvent(state="running", attempt=attempt, progress=progress(row.num_clips, step)),
        )
        for step in range(max(1, first_step), row.num_clips_done + 1)
    ]
    if row.state in ENDED and first_step <= _STEPS["end"]:
        events.append(Event(f"{token}-end", row.state, None))
    return events
