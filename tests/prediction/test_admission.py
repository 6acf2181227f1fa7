"""Admission: bounded slots, released however the request ends; a queue in order of arrival; draining."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fair_share.settings import FairShareSettings
from service.fair_share.share import FairShare
from service.prediction.admission import Admission, seconds_until_served
from service.prediction.errors import Busy, Draining
from service.prediction.settings import PredictionSettings


def admission_of(
    uploads: int = 8, per_caller: int = 8, working: int = 1, waiting: int = 1, **options: Any
) -> Admission:
    """An admission with so many slots; `options` are the other arguments of `Admission`."""
    return Admission(
        PredictionSettings(
            max_concurrent_uploads=uploads,
            max_uploads_per_caller=per_caller,
            max_working_requests=working,
            max_waiting_requests=waiting,
        ),
        **options,
    )


async def run_ready_tasks() -> None:
    """Give every task that is ready several turns of the event loop."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_slot_is_released_when_the_work_fails() -> None:
    async def scenario() -> None:
        admission = admission_of(waiting=0)
        for _ in range(3):
            with pytest.raises(KeyError), admission.admit("a") as ticket:
                async with admission.work(ticket):
                    raise KeyError
            with pytest.raises(KeyError), admission.admit("a"):
                raise KeyError
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)

    asyncio.run(scenario())


def test_upload_slots_are_bounded_in_total_and_for_each_caller() -> None:
    admission = admission_of(uploads=3, per_caller=2, waiting=100)
    with admission.admit("a"), admission.admit("a"):
        with pytest.raises(Busy, match="this caller"), admission.admit("a"):
            pass
        with admission.admit("b"):
            assert admission.num_uploads == 3
            with pytest.raises(Busy, match="All 3 upload slots are taken"), admission.admit("c"):
                pass
    assert admission.num_uploads == 0


def test_a_recently_started_upload_reserves_a_position_in_the_queue() -> None:
    admission = admission_of(working=2, waiting=1)
    with admission.admit("a"), admission.admit("b"):
        with admission.admit("c"), pytest.raises(Busy, match="queue of requests is full"), admission.admit("d"):
            pass
        with admission.admit("d"):
            pass


def test_recent_uploads_of_one_caller_reserve_at_most_half_of_the_queue() -> None:
    """Otherwise four connections a second would block a service of two cores for all other callers."""
    admission = admission_of(uploads=100, per_caller=50, working=2, waiting=2)
    with ExitStack() as uploads:
        for _ in range(50):
            uploads.enter_context(admission.admit("restless"))
        with admission.admit("b"), admission.admit("c"), pytest.raises(Busy), admission.admit("d"):
            pass


def test_a_background_upload_neither_needs_nor_reserves_a_position_in_the_queue() -> None:
    admission = admission_of(uploads=3, working=1, waiting=0)
    with admission.admit("a", is_background=True), admission.admit("b"):
        with admission.admit("c", is_background=True):
            assert admission.num_uploads == 3
        with pytest.raises(Busy, match="queue of requests is full"), admission.admit("d"):
            pass


def test_slow_uploads_do_not_block_the_queue() -> None:
    """Otherwise any number of slow uploads would block the service for as long as uploads may take."""
    admission = admission_of(uploads=100, per_caller=100, working=1, waiting=0, reservation_seconds=0)

    async def scenario() -> None:
        with ExitStack() as uploads:
            for _ in range(50):
                uploads.enter_context(admission.admit("slow"))
            with admission.admit("quick") as ticket:
                async with admission.work(ticket):
                    assert admission.num_working == 1

    asyncio.run(scenario())


def test_a_slow_upload_that_has_ended_joins_a_full_queue() -> None:
    admission = admission_of(working=1, waiting=0, reservation_seconds=0)

    async def scenario() -> None:
        with admission.admit("slow") as slow:
            with admission.admit("quick") as quick:
                async with admission.work(quick):
                    late = asyncio.create_task(admission.work(slow).__aenter__())
                    await run_ready_tasks()
                    assert (admission.num_waiting, late.done()) == (1, False)
            await late
            assert (admission.num_waiting, admission.num_working) == (0, 1)

    asyncio.run(scenario())


def test_the_queue_keeps_the_order_of_arrival_when_a_request_leaves_it() -> None:
    async def scenario() -> None:
        admission = admission_of(waiting=3)
        served: list[str] = []
        may_end = asyncio.Event()

        async def request(name: str) -> None:
            with admission.admit(name) as ticket:
                async with admission.work(ticket):
                    served.append(name)
                    await may_end.wait()

        first, second, third, fourth = (asyncio.create_task(request(name)) for name in "abcd")
        await run_ready_tasks()
        assert (served, admission.num_waiting) == (["a"], 3)
        second.cancel()
        await run_ready_tasks()
        assert (admission.num_waiting, admission.num_uploads) == (2, 2)
        may_end.set()
        await asyncio.gather(first, third, fourth)
        assert served == ["a", "c", "d"]
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)

    asyncio.run(scenario())


def test_an_upload_slot_is_released_when_the_work_begins() -> None:
    async def scenario() -> None:
        admission = admission_of(uploads=1, working=2, waiting=0)
        with admission.admit("a") as ticket:
            async with admission.work(ticket):
                with admission.admit("a"):
                    assert (admission.num_uploads, admission.num_working) == (1, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("num_ahead", "mean_seconds", "num_slots", "expected"),
    [(0, 5, 1, 1), (1, 0.01, 4, 1), (5, 0.4, 2, 1), (6, 0.4, 2, 2), (10, 3, 4, 8), (3, 1, 3, 1), (4, 1, 3, 2)],
)
def test_retry_after_follows_littles_law(num_ahead: int, mean_seconds: float, num_slots: int, expected: int) -> None:
    """Time in the system = number of requests / rate at which the slots serve them."""
    assert seconds_until_served(num_ahead, mean_seconds, num_slots) == expected


def test_retry_after_uses_the_length_of_the_queue_and_the_measured_time_of_work() -> None:
    # The clock advances by 5 s with each reading, so the work of each request takes 5 s.
    clock = itertools.count(0, 5).__next__
    admission = admission_of(uploads=100, per_caller=100, working=2, waiting=4, reservation_seconds=1e9, clock=clock)

    async def scenario() -> None:
        for _ in range(100):
            with admission.admit("a") as ticket:
                async with admission.work(ticket):
                    pass
        with ExitStack() as tickets:
            for caller in "aabbcc":
                tickets.enter_context(admission.admit(caller))
            with pytest.raises(Busy) as busy, admission.admit("d"):
                pass
        assert busy.value.retry_after_seconds == 15  # six requests of 5 s on two slots
        assert "15 s" in str(busy.value)

    asyncio.run(scenario())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["admit", "work", "end", "cancel"]))))
def test_no_order_of_events_exceeds_a_bound_or_loses_a_slot(steps: list[tuple[str, str]]) -> None:
    async def scenario() -> None:
        admission = admission_of(uploads=3, per_caller=2, working=2, waiting=2)
        requests: list[tuple[asyncio.Task[None], asyncio.Event, asyncio.Event]] = []

        async def request(caller: str, is_uploaded: asyncio.Event, is_done: asyncio.Event) -> None:
            with admission.admit(caller) as ticket:
                await is_uploaded.wait()
                async with admission.work(ticket):
                    await is_done.wait()

        for caller, step in steps:
            if step == "admit":
                events = asyncio.Event(), asyncio.Event()
                requests.append((asyncio.create_task(request(caller, *events)), *events))
            elif requests and step == "work":
                requests[0][1].set()
            elif requests and step == "end":
                requests[0][1].set()
                requests.pop(0)[2].set()
            elif requests:
                requests.pop(0)[0].cancel()
            await run_ready_tasks()
            assert admission.num_working <= 2
            assert admission.num_uploads <= 3
            assert admission.num_waiting + admission.num_working <= 4
        for task, is_uploaded, is_done in requests:
            is_uploaded.set()
            is_done.set()
            await asyncio.wait({task})
        await admission.wait_until_idle(timeout_seconds=60)
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)
        with admission.admit("a"), admission.admit("a"), admission.admit("b"):
            pass

    asyncio.run(scenario())


def test_a_draining_service_refuses_new_requests_and_waits_for_admitted_ones() -> None:
    async def scenario() -> None:
        admission = admission_of()
        with admission.admit("a") as ticket:
            admission.drain()
            with pytest.raises(Draining), admission.admit("b"):
                pass
            await admission.wait_until_idle(timeout_seconds=0.01)
            assert admission.num_uploads == 1
            async with admission.work(ticket):
                assert admission.num_working == 1
        await admission.wait_until_idle(timeout_seconds=60)
        assert admission.num_working == 0

    asyncio.run(scenario())


def shared_admission(working: int = 2, waiting: int = 2) -> tuple[Admission, FairShare]:
    """An admission on two threads in which a caller gives way after half a second of use, and its fair share."""
    fair_share = FairShare(FairShareSettings(fair_share_turn_seconds=0.5), num_threads=2)
    return admission_of(100, 50, working, waiting, fair_share=fair_share), fair_share


@asynccontextmanager
async def uploaded_requests(admission: Admission, callers: list[str]) -> AsyncIterator[None]:
    """Requests that wait in the queue or work while the context lasts."""
    is_over = asyncio.Event()

    async def request(caller: str) -> None:
        with admission.admit(caller) as ticket:
            async with admission.work(ticket):
                await is_over.wait()

    tasks = [asyncio.create_task(request(caller)) for caller in callers]
    await run_ready_tasks()
    yield
    is_over.set()
    await asyncio.gather(*tasks)


def test_a_flood_fills_its_own_positions_and_other_callers_find_one() -> None:
    async def scenario() -> None:
        admission, fair_share = shared_admission()
        async with uploaded_requests(admission, ["flood"] * 4):
            with pytest.raises(Busy), admission.admit("a"):
                pass
            fair_share.ledger.charge("flood", 20)
            with pytest.raises(Busy, match="queue of requests is full"), admission.admit("flood"):
                pass
            with ExitStack() as uploads:
                for caller in "abcd":
                    uploads.enter_context(admission.admit(caller))
                with pytest.raises(Busy, match="queue of requests is full"), admission.admit("e"):
                    pass

    asyncio.run(scenario())


def test_a_flood_of_a_caller_that_used_as_much_takes_its_share_of_the_positions_only() -> None:
    async def scenario() -> None:
        admission, fair_share = shared_admission()
        async with uploaded_requests(admission, ["flood"] * 4):
            for caller in ("flood", "a", "b"):
                fair_share.ledger.charge(caller, 10)
            with ExitStack() as uploads:
                for caller in "aab":
                    uploads.enter_context(admission.admit(caller))
                with pytest.raises(Busy), admission.admit("a"):
                    pass

    asyncio.run(scenario())


def test_a_light_caller_is_served_before_a_flood_and_while_its_requests_are_at_work() -> None:
    async def scenario() -> None:
        admission, fair_share = shared_admission()
        served: list[str] = []
        may_end = asyncio.Event()

        async def request(caller: str, seconds: float) -> None:
            with admission.admit(caller) as ticket:
                async with admission.work(ticket):
                    with fair_share.work(caller) as work:
                        served.append(caller)
                        work.charge(seconds)
                        await may_end.wait()

        flood = [asyncio.create_task(request("flood", 30)) for _ in range(4)]
        await run_ready_tasks()
        assert (served, admission.num_waiting, admission.num_working) == (["flood"] * 2, 2, 2)
        light = asyncio.create_task(request("light", 0.1))
        await run_ready_tasks()
        assert (served, admission.num_working, fair_share.num_paused) == (["flood", "flood", "light"], 3, 2)
        may_end.set()
        await asyncio.gather(light, *flood)
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)

    asyncio.run(scenario())
