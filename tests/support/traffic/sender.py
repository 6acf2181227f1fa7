"""Sends requests of one caller, and checks and records each response."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.traffic.contract import Contract, outcome
from tests.support.traffic.ledger import Ledger

_RESEND_SECONDS = 0.1
BROKEN = "connection ended"

ProcessEnded = Callable[[float], bool]
"""Whether the service process has ended, or was not listening, at some time since that moment (monotonic)."""


def never_ended(_since: float) -> bool:
    """For a service that no test ends."""
    return False


@dataclass
class Sender:
    """One caller: its name in the report, its key, and how long it waits for an answer.

    A connection that ends without a response is a violation, unless the service process has ended meanwhile. Then the
    request is sent again within the caller's deadline, as by a client whose orchestrator restarts the service.
    """

    caller: str
    url: str
    token: str
    contract: Contract
    ledger: Ledger
    deadline_seconds: float
    has_ended: ProcessEnded = never_ended
    client: httpx.Client = field(init=False, repr=False)
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.token}"}
        self.client = httpx.Client(base_url=self.url, headers=self.headers)

    def send(self, operation: str, *, url: str | None = None, **options: Any) -> httpx.Response | None:
        """The response to an operation of the API, such as `POST /predict`; None if there was none.

        `url` replaces the path of the operation; `options` are those of httpx.
        """
        method, path = operation.split(" ")
        started_at = time.monotonic()
        while True:
            sent_at = time.monotonic()
            left_seconds = max(1.0, started_at + self.deadline_seconds - sent_at)
            try:
                response = self.client.request(method, url or path, timeout=left_seconds, **options)
            except httpx.TransportError as error:
                if self.has_ended(sent_at) and time.monotonic() < started_at + self.deadline_seconds:
                    self.ledger.record(self.caller, BROKEN)
                    threading.Event().wait(_RESEND_SECONDS)
                    continue
                seconds = time.monotonic() - started_at
                self.ledger.record(self.caller, "no response", seconds)
                self.ledger.violate(self.caller, f"{operation}: no response", f"after {seconds:.1f} s: {error!r}")
                return None
            self.check(operation, response, time.monotonic() - started_at)
            return response

    def check(self, operation: str, response: httpx.Response, seconds: float) -> None:
        """Record a response that came `seconds` after its request, and what it violates."""
        self.ledger.record(self.caller, outcome(response), seconds)
        breach = self.contract.breach(operation, response)
        if breach is not None:
            self.ledger.violate(self.caller, f"{operation}: {breach}", response.text)
        if seconds > self.deadline_seconds:
            fact = f"{operation}: the response took longer than {self.deadline_seconds:.0f} s"
            self.ledger.violate(self.caller, fact, f"{seconds:.1f} s")
