"""Parses the server-sent events of a job, across reconnects. Opens no connection."""

import time
from dataclasses import dataclass

import httpx

from framewise.client.operations import job_path
from framewise.schemas.jobs import Job, JobEvent

_FINAL_EVENTS = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a `text/event-stream`."""

    id: str
    name: str
    data: str


class EventParser:
    """Incremental parser of one `text/event-stream`; an incomplete event at the end is dropped."""

    def __init__(self) -> None:
        self._unparsed = b""
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events completed by `chunk`."""
        *lines, self._unparsed = (self._unparsed + chunk).split(b"\n")
        events = []
        for line in lines:
            text = line.removesuffix(b"\r").decode()
            if text:
                self._add(text)
            elif self._fields:
                fields, self._fields = self._fields, {}
                events.append(ServerSentEvent(fields.get("id", ""), fields.get("event", ""), fields.get("data", "")))
        return events

    def _add(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name:  # A line without a name is a comment.
            value = value.removeprefix(" ")
            before = self._fields.get(name)
            self._fields[name] = f"{before}\n{value}" if name == "data" and before is not None else value


class JobEventReader:
    """Reads a job's events from one or more connections; each new connection resumes after the last event."""

    def __init__(self, job_id: str, max_seconds: float) -> None:
        self._job_id = job_id
        self._max_seconds = max_seconds
        self._ends_at = time.monotonic() + max_seconds
        self.path = f"{job_path(job_id)}/events"
        self.has_ended = False
        self._last_event_id = ""
        self._parser = EventParser()

    def headers(self) -> dict[str, str]:
        """Request headers of a new connection. Discards an incomplete event of the previous connection."""
        self._parser = EventParser()
        return {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}

    def seconds_left(self) -> float:
        """The time left to wait for the end of the job; raises TimeoutError when it is over."""
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"The job {self._job_id} has not ended within {self._max_seconds:g} s. It goes on.")
        return left

    def require_end(self) -> None:
        """Check that the final event arrived.

        Raises:
            httpx.ReadError: the stream ended before the job did, for example because the service shut down.
        """
        if not self.has_ended:
            raise httpx.ReadError("the event stream ended before the job did")

    def feed(self, chunk: bytes) -> list[JobEvent | Job]:
        """The events completed by `chunk`; the final event is the job itself. Raises like `seconds_left`."""
        events: list[JobEvent | Job] = []
        for event in self._parser.feed(chunk):
            self._last_event_id = event.id or self._last_event_id
            self.has_ended = event.name in _FINAL_EVENTS
            schema: type[Job | JobEvent] = Job if self.has_ended else JobEvent
            events.append(schema.model_validate_json(event.data, extra="ignore"))
        if not self.has_ended:
            self.seconds_left()
        return events
