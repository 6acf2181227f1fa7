"""Callers of predictions: good videos, hostile ones, floods, and reads."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus

import httpx

from tests.support.traffic.contract import outcome
from tests.support.traffic.footage import Footage, with_nonce
from tests.support.traffic.golden import QUERIES, Golden
from tests.support.traffic.sender import Sender

OVERLOADED = frozenset(
    {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT},
)
"""Statuses that say nothing about the video."""
_READS = ("GET /capabilities", "GET /models", "GET /health", "GET /openapi.json", "GET /jobs", "GET /v2")


@dataclass
class GoodCaller:
    """Sends good videos, some of them new to the cache; a response is the right prediction or an allowed refusal."""

    sender: Sender
    footage: Footage
    golden: Golden
    rng: random.Random
    pause_seconds: float
    allowed: frozenset[str] = frozenset()
    """Outcomes other than 200 and `OVERLOADED`, such as `422 unreadable_video`."""
    is_refusal_allowed: bool = True
    new_fraction: float = 0.5
    """Fraction of the MP4 videos that are new to the cache."""
    videos: tuple[str, ...] = ()
    """Names of the videos to send; default: all."""
    url_of: dict[str, str] | None = None
    """Where the service may fetch the videos; then it gets their URLs."""

    def call(self) -> None:
        """Send one video and check its prediction."""
        video = self.rng.choice(self.videos or tuple(self.footage.good))
        query = self.rng.randrange(len(QUERIES))
        response = self._sent(video, query)
        if response is None:
            return
        if response.status_code == HTTPStatus.OK:
            difference = self.golden.difference(video, query, response.json())
            if difference is not None:
                self.sender.ledger.violate(self.sender.caller, "a wrong prediction", difference)
        elif not self._is_allowed(response):
            self.sender.ledger.violate(
                self.sender.caller, f"a good video got {outcome(response)}", f"{video}: {response.text}"
            )

    def _sent(self, video: str, query: int) -> httpx.Response | None:
        if self.url_of is not None:
            return self.sender.send("POST /predict", params=QUERIES[query], json={"url": self.url_of[video]})
        content = self.footage.good[video]
        if video.endswith(".mp4") and self.rng.random() < self.new_fraction:
            content = with_nonce(content, self.rng.getrandbits(64))
        return self.sender.send("POST /predict", params=QUERIES[query], files={"video": (video, content)})

    def _is_allowed(self, response: httpx.Response) -> bool:
        is_refused = response.status_code in OVERLOADED
        return (is_refused and self.is_refusal_allowed) or outcome(response) in self.allowed


@dataclass
class HostileCaller:
    """Sends hostile uploads; any documented response is right."""

    sender: Sender
    videos: Iterator[bytes]
    rng: random.Random
    pause_seconds: float

    def call(self) -> None:
        """Send one upload."""
        operation = self.rng.choice(("POST /predict", "POST /validate"))
        self.sender.send(operation, files={"video": ("v", next(self.videos))})


@dataclass
class FloodingCaller:
    """Sends the long video, new to the cache each time."""

    sender: Sender
    video: bytes
    rng: random.Random
    pause_seconds: float

    def call(self) -> None:
        """Send the video."""
        content = with_nonce(self.video, self.rng.getrandbits(64))
        self.sender.send("POST /predict", params={"frames": "none"}, files={"video": ("long.mp4", content)})


@dataclass
class ReadingCaller:
    """Reads what needs no video."""

    sender: Sender
    rng: random.Random
    pause_seconds: float
    reads: tuple[str, ...] = field(default=_READS)

    def call(self) -> None:
        """Read once."""
        operation = self.rng.choice(self.reads)
        if operation in self.sender.contract.responses:
            self.sender.send(operation)
