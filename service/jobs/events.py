"""The events of a job, made from what is known of it. Pure: nothing is stored but the job itself.

The events of a job's latest attempt follow from its row, and so do those that a listener has missed: the id
of an event says the attempt's fence and the place in it.

    0-queued   1-0 1-1 1-2   (the process died)   2-0 2-1 2-2 2-3 2-end
    queued     running, progress ...              running, progress ..., done
"""

import re
from dataclasses import dataclass
from typing import Literal

from framewise.schemas.jobs import JobEvent
from service.jobs.leases import ENDED
from service.jobs.queries import AnyRow, progress

EVENT_ID = r"[0-9]{1,9}-(?:[0-9]{1,9}|queued|end)"
# After every clip of the attempt that was given back, and the end after that.
_STEPS = {"queued": 10**9, "end": 10**9 + 1}

Name = Literal["queued", "running", "progress", "done", "failed", "cancelled"]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Event:
    """One event; the last one's data is the whole job, and not made here."""

    id: str
    name: Name
    data: JobEvent | None


def place_of(event_id: str) -> Place:
    """Where an event stands among those of its job."""
    fence, step = re.split("-", event_id)
    return int(fence), _STEPS[step] if step in _STEPS else int(step)


def missed_events(row: AnyRow, last_seen: str | None) -> list[Event]:
    """The events of the latest attempt after the one that was seen last."""
    fence, step = (-1, -1) if last_seen is None else place_of(last_seen)
    if fence > row.fence:
        return []
    return _of_attempt(row, step + 1 if fence == row.fence else 0)


def _of_attempt(row: AnyRow, first: int) -> list[Event]:
    """Its events from the step `first` on: of a long job, most were told before, each time it went on."""
    fence, attempt = row.fence, row.num_attempts
    events = []
    if row.state == "queued":
        if first <= _STEPS["queued"]:
            events.append(Event(f"{fence}-queued", "queued", JobEvent(state="queued", attempt=attempt, progress=None)))
        return events
    if fence and first == 0:
        events.append(Event(f"{fence}-0", "running", JobEvent(state="running", attempt=attempt, progress=None)))
    events += [
        Event(
            f"{fence}-{step}",
            "progress",
            JobEvent(state="running", attempt=attempt, progress=progress(row.num_clips, step)),
        )
        for step in range(max(1, first), row.num_clips_done + 1)
    ]
    if row.state in ENDED and first <= _STEPS["end"]:
        events.append(Event(f"{fence}-end", row.state, None))
    return events
