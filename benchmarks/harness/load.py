"""Load on a server of this machine: closed loops of clients, or an open loop of arrivals. Bounded in count and time."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

BuildRequest = Callable[[str, bytes], httpx.Request]

_MAX_REQUESTS = 20_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; `status` is 0 where the connection broke."""

    video: int
    status: int
    sent_at: float
    seconds: float
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Load:
    """All answers of one run, and how long it was, in seconds."""

    answers: list[Answer]
    seconds: float

    @property
    def good(self) -> list[Answer]:
        """The answers with status 200."""
        return [answer for answer in self.answers if answer.status == httpx.codes.OK]

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return len(self.good) / self.seconds

    def statuses(self) -> dict[int, int]:
        """How often each status came."""
        statuses = [answer.status for answer in self.answers]
        return {status: statuses.count(status) for status in sorted(set(statuses))}


class Generator:
    """Sends videos to one server, in turn from a shuffled list, the same for every server."""

    def __init__(
        self, url: str, build_request: BuildRequest, videos: Sequence[bytes], timeout_seconds: float = 120
    ) -> None:
        """Prepare a request for each of `videos`; `timeout_seconds` is the longest wait for an answer."""
        if urlsplit(url).hostname != "127.0.0.1":
            raise ValueError("load goes to this machine only")
        self._timeout_seconds = timeout_seconds
        # Built once: making multipart bodies is no part of what is measured.
        self._requests = [build_request(url, video) for video in videos]
        for request in self._requests:
            request.read()
        self._order = [number % len(videos) for number in range(_MAX_REQUESTS)]
        random.Random(0).shuffle(self._order)  # noqa: S311 - an order, no secret

    def closed_loop(self, num_clients: int, seconds: float, max_requests: int = _MAX_REQUESTS) -> Load:
        """`num_clients` that each send their next request when they have the answer to the last.

        No new request begins after `seconds`; those in progress are waited for, and the clock runs on.
        """
        return asyncio.run(self._closed_loop(num_clients, seconds, min(max_requests, _MAX_REQUESTS)))

    def open_loop(self, per_second: float, seconds: float) -> Load:
        """Arrivals at random times, `per_second` in the mean, whether or not the server keeps up."""
        return asyncio.run(self._open_loop(per_second, seconds))

    async def _closed_loop(self, num_clients: int, seconds: float, max_requests: int) -> Load:
        order = iter(self._order[:max_requests])
        answers: list[Answer] = []
        async with _client(num_clients, self._timeout_seconds) as client:
            started_at = time.perf_counter()

            async def ask_on_and_on() -> None:
                while time.perf_counter() - started_at < seconds and (video := next(order, None)) is not None:
                    answers.append(await self._ask(client, video))

            await asyncio.gather(*(ask_on_and_on() for _ in range(num_clients)))
            return Load(answers, time.perf_counter() - started_at)

    async def _open_loop(self, per_second: float, seconds: float) -> Load:
        gaps = random.Random(1)  # noqa: S311 - arrivals, no secret
        num_requests = min(_MAX_REQUESTS, round(per_second * seconds))
        async with _client(num_requests, self._timeout_seconds) as client, asyncio.TaskGroup() as group:
            tasks = []
            started_at = time.perf_counter()
            due = 0.0
            for video in self._order[:num_requests]:
                due += gaps.expovariate(per_second)
                await asyncio.sleep(max(0.0, started_at + due - time.perf_counter()))
                tasks.append(group.create_task(self._ask(client, video)))
            answers = [await task for task in tasks]
            return Load(answers, time.perf_counter() - started_at)

    async def _ask(self, client: httpx.AsyncClient, video: int) -> Answer:
        template = self._requests[video]
        request = httpx.Request(template.method, template.url, headers=template.headers, content=template.content)
        sent_at = time.perf_counter()
        try:
            response = await client.send(request)
        except httpx.TransportError as error:
            return Answer(video, 0, sent_at, time.perf_counter() - sent_at, repr(error).encode())
        return Answer(video, response.status_code, sent_at, time.perf_counter() - sent_at, response.content)


def _client(num_connections: int, timeout_seconds: float) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=num_connections, max_keepalive_connections=num_connections)
    return httpx.AsyncClient(timeout=timeout_seconds, limits=limits, trust_env=False)
