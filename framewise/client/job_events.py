"""A job's events as they come over the wire, over as many connections as it takes. Opens none itself."""

from dataclasses import dataclass

import httpx

from framewise.client.operations import job_path
from framewise.schemas.jobs import Job, JobEvent

_ENDS = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event of a stream."""

    id: str
    name: str
    data: str


class EventParser:
    """Turns the bytes of one `text/event-stream` into its events; what breaks off unfinished is none."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: dict[str, str] = {}

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that end in `chunk`."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
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
        if name:  # Without one it is a comment.
            value = value.removeprefix(" ")
            before = self._fields.get(name)
            self._fields[name] = f"{before}\n{value}" if name == "data" and before is not None else value


class JobWatch:
    """How much of a job's story was heard: what to ask for next, and whether there is more."""

    def __init__(self, job_id: str) -> None:
        self.path = f"{job_path(job_id)}/events"
        self.is_over = False
        self._last_event_id = ""
        self._parser = EventParser()

    def headers(self) -> dict[str, str]:
        """What to ask a new connection with; its stream starts at a new event."""
        self._parser = EventParser()
        return {"Last-Event-ID": self._last_event_id} if self._last_event_id else {}

    def require_end(self) -> None:
        """Pass where the story was heard to its end.

        Raises:
            httpx.ReadError: the stream ended before the job did, as it does when a service shuts down.
        """
        if not self.is_over:
            raise httpx.ReadError("the events ended before the job did")

    def feed(self, chunk: bytes) -> list[JobEvent | Job]:
        """What `chunk` tells; the job itself is the last."""
        told: list[JobEvent | Job] = []
        for event in self._parser.feed(chunk):
            self._last_event_id = event.id or self._last_event_id
            self.is_over = event.name in _ENDS
            schema: type[Job | JobEvent] = Job if self.is_over else JobEvent
            told.append(schema.model_validate_json(event.data, extra="ignore"))
        return told
