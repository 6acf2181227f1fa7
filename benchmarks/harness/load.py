"""Load on a local server: closed loops of clients, or an open loop of arrivals. Bounded in count and time."""

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
class TimedResponse:
    """The response to one request; `status` is 0 if the connection broke."""

    video: int
    status: int
    sent_at: float
    seconds: float
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Load:
    """All responses of one run, and its length in seconds."""

    responses: list[TimedResponse]
    seconds: float

    @property
    def successful(self) -> list[TimedResponse]:
        """The responses with status 200."""
        return [response for response in self.responses if response.status == httpx.codes.OK]

    @property
    def per_second(self) -> float:
        """Successful responses per second."""
        return len(self.successful) / self.seconds

    def statuses(self) -> dict[int, int]:
        """Number of responses by status."""
        statuses = [response.status for response in self.responses]
        return {status: statuses.count(status) for status in sorted(set(statuses))}


class Generator:
    """Sends videos to one server in a shuffled order that is the same for all servers."""

    def __init__(
        self, url: str, build_request: BuildRequest, videos: Sequence[bytes], timeout_seconds: float = 120
    ) -> None:
        """Prepare a request for each of `videos`; `timeout_seconds` limits the wait for a response."""
        if urlsplit(url).hostname != "127.0.0.1":
            raise ValueError("load may only be sent to 127.0.0.1")
        self._timeout_seconds = timeout_seconds
        # Built once, so that encoding of multipart bodies is not measured.
        self._requests = [build_request(url, video) for video in videos]
        for request in self._requests:
            request.read()
        self._order = [number % len(videos) for number in range(_MAX_REQUESTS)]
        random.Random(0).shuffle(self._order)  # noqa: S311 - not a secret

    def closed_loop(
        self, num_clients: int, seconds: float, max_requests: int = _MAX_REQUESTS, *, pause_seconds: float = 0
    ) -> Load:
        """Run `num_clients` that each send a request `pause_seconds` after the response to the last one.

        No request starts after `seconds`; the measured time includes the requests then in progress.
        """
        return asyncio.run(self._closed_loop(num_clients, seconds, min(max_requests, _MAX_REQUESTS), pause_seconds))

    def open_loop(self, per_second: float, seconds: float) -> Load:
        """Send requests at random times, `per_second` on average, even if the server does not keep up."""
        return asyncio.run(self._open_loop(per_second, seconds))

    async def _closed_loop(self, num_clients: int, seconds: float, max_requests: int, pause_seconds: float) -> Load:
        order = iter(self._order[:max_requests])
        responses: list[TimedResponse] = []
        async with _client(num_clients, self._timeout_seconds) as client:
            started_at = time.perf_counter()

            async def send_repeatedly() -> None:
                while time.perf_counter() - started_at < seconds and (video := next(order, None)) is not None:
                    responses.append(await self._send(client, video))
                    await asyncio.sleep(pause_seconds)

            await asyncio.gather(*(send_repeatedly() for _ in range(num_clients)))
            return Load(responses, time.perf_counter() - started_at)

    async def _open_loop(self, per_second: float, seconds: float) -> Load:
        gaps = random.Random(1)  # noqa: S311 - not a secret
        num_requests = min(_MAX_REQUESTS, round(per_second * seconds))
        async with _client(num_requests, self._timeout_seconds) as client, asyncio.TaskGroup() as group:
            tasks = []
            started_at = time.perf_counter()
            due = 0.0
            for video in self._order[:num_requests]:
                due += gaps.expovariate(per_second)
                await asyncio.sleep(max(0.0, started_at + due - time.perf_counter()))
                tasks.append(group.create_task(self._send(client, video)))
            responses = [await task for task in tasks]
            return Load(responses, time.perf_counter() - started_at)

    async def _send(self, client: httpx.AsyncClient, video: int) -> TimedResponse:
        template = self._requests[video]
        request = httpx.Request(template.method, template.url, headers=template.headers, content=template.content)
        sent_at = time.perf_counter()
        try:
            response = await client.send(request)
        except httpx.TransportError as error:
            return TimedResponse(video, 0, sent_at, time.perf_counter() - sent_at, repr(error).encode())
        return TimedResponse(video, response.status_code, sent_at, time.perf_counter() - sent_at, response.content)


def _client(num_connections: int, timeout_seconds: float) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=num_connections, max_keepalive_connections=num_connections)
    return httpx.AsyncClient(timeout=timeout_seconds, limits=limits, trust_env=False)
