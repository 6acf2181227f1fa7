"""Places: bounded, freed however the request ends, in turn, kept from nobody who is quick, refused while draining."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.prediction import admission as module
from service.prediction.admission import Admission, seconds_until_served
from service.prediction.errors import Busy, Draining
from service.prediction.settings import PredictionSettings

Told = Callable[[], Coroutine[object, object, None]]


def places(uploads: int = 8, per_caller: int = 8, working: int = 1, waiting: int = 1) -> Admission:
    return Admission(
        PredictionSettings(
            max_concurrent_uploads=uploads,
            max_uploads_per_caller=per_caller,
            max_working_requests=working,
            max_waiting_requests=waiting,
        )
    )


async def turns_of_the_loop() -> None:
    """Let every task that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_place_is_freed_when_its_work_fails() -> None:
    async def story() -> None:
        admission = places(waiting=0)
        for _ in range(3):
            with pytest.raises(KeyError), admission.visit("a") as visit:
                async with admission.work(visit):
                    raise KeyError
            with pytest.raises(KeyError), admission.visit("a"):
                raise KeyError
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)

    asyncio.run(story())


def test_no_more_upload_places_than_there_are_nor_than_one_caller_may_have() -> None:
    admission = places(uploads=3, per_caller=2, waiting=100)
    with admission.visit("a"), admission.visit("a"):
        with pytest.raises(Busy, match="one caller"), admission.visit("a"):
            pass
        with admission.visit("b"):
            assert admission.num_uploads == 3
            with pytest.raises(Busy, match="Every upload place is taken"), admission.visit("c"):
                pass
    assert admission.num_uploads == 0


def test_whoever_begins_to_upload_is_kept_a_place_in_the_line() -> None:
    admission = places(working=2, waiting=1)
    with admission.visit("a"), admission.visit("b"):
        with admission.visit("c"), pytest.raises(Busy, match="waiting already"), admission.visit("d"):
            pass
        with admission.visit("d"):
            pass


def test_uploads_that_one_caller_begins_again_and_again_keep_no_more_than_half_of_the_line() -> None:
    """Four connections a second would otherwise shut a service of two cores for everybody else."""
    admission = places(uploads=100, per_caller=50, working=2, waiting=2)
    with ExitStack() as uploads:
        for _ in range(50):
            uploads.enter_context(admission.visit("restless"))
        with admission.visit("b"), admission.visit("c"), pytest.raises(Busy), admission.visit("d"):
            pass


def test_what_is_only_received_now_needs_no_place_in_the_line_and_takes_none() -> None:
    admission = places(uploads=3, working=1, waiting=0)
    with admission.visit("a", is_for_later=True), admission.visit("b"):
        with admission.visit("c", is_for_later=True):
            assert admission.num_uploads == 3
        with pytest.raises(Busy, match="waiting already"), admission.visit("d"):
            pass


def test_slow_uploads_keep_nobody_from_working(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any number of uploads that dribble in would otherwise shut the service for as long as they are allowed."""
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    admission = places(uploads=100, per_caller=100, working=1, waiting=0)

    async def story() -> None:
        with ExitStack() as uploads:
            for _ in range(50):
                uploads.enter_context(admission.visit("slow"))
            with admission.visit("quick") as visit:
                async with admission.work(visit):
                    assert admission.num_working == 1

    asyncio.run(story())


def test_a_slow_upload_that_has_ended_waits_in_a_full_line_rather_than_being_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FRESH_SECONDS", 0)
    admission = places(working=1, waiting=0)

    async def story() -> None:
        with admission.visit("slow") as slow:
            with admission.visit("quick") as quick:
                async with admission.work(quick):
                    late = asyncio.create_task(admission.work(slow).__aenter__())
                    await turns_of_the_loop()
                    assert (admission.num_waiting, late.done()) == (1, False)
            await late
            assert (admission.num_waiting, admission.num_working) == (0, 1)

    asyncio.run(story())


def test_the_line_moves_in_turn_and_who_leaves_it_holds_nobody_up() -> None:
    async def story() -> None:
        admission = places(waiting=3)
        served: list[str] = []
        is_over = asyncio.Event()

        async def request(name: str) -> None:
            with admission.visit(name) as visit:
                async with admission.work(visit):
                    served.append(name)
                    await is_over.wait()

        first, second, third, fourth = (asyncio.create_task(request(name)) for name in "abcd")
        await turns_of_the_loop()
        assert (served, admission.num_waiting) == (["a"], 3)
        second.cancel()
        await turns_of_the_loop()
        assert (admission.num_waiting, admission.num_uploads) == (2, 2)
        is_over.set()
        await asyncio.gather(first, third, fourth)
        assert served == ["a", "c", "d"]
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)

    asyncio.run(story())


def test_an_upload_place_is_free_for_the_next_as_soon_as_work_begins() -> None:
    async def story() -> None:
        admission = places(uploads=1, working=2, waiting=0)
        with admission.visit("a") as visit:
            async with admission.work(visit):
                with admission.visit("a"):
                    assert (admission.num_uploads, admission.num_working) == (1, 1)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("num_ahead", "mean_seconds", "num_places", "expected"),
    [(0, 5, 1, 1), (1, 0.01, 4, 1), (5, 0.4, 2, 1), (6, 0.4, 2, 2), (10, 3, 4, 8), (3, 1, 3, 1), (4, 1, 3, 2)],
)
def test_who_is_refused_is_told_when_those_ahead_will_have_been_served(
    num_ahead: int, mean_seconds: float, num_places: int, expected: int
) -> None:
    """Little's law: they are in the system for their number over the rate at which places serve them."""
    assert seconds_until_served(num_ahead, mean_seconds, num_places) == expected


def test_the_time_to_return_follows_from_the_line_and_the_measured_time_of_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(0, 10_000, 5))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(module, "FRESH_SECONDS", 1e9)
    admission = places(uploads=100, per_caller=100, working=2, waiting=4)

    async def story() -> None:
        # Every look at the clock is 5 s after the last, so each request's work takes 5 s.
        for _ in range(100):
            with admission.visit("a") as visit:
                async with admission.work(visit):
                    pass
        with ExitStack() as visits:
            for caller in "aabbcc":
                visits.enter_context(admission.visit(caller))
            with pytest.raises(Busy) as busy, admission.visit("d"):
                pass
        assert busy.value.retry_after_seconds == 15  # six requests of 5 s by two places
        assert "15 s" in str(busy.value)

    asyncio.run(story())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["visit", "work", "end", "cancel"]))))
def test_whatever_order_requests_come_and_go_in_no_bound_is_passed_and_no_place_is_lost(
    steps: list[tuple[str, str]],
) -> None:
    async def story() -> None:
        admission = places(uploads=3, per_caller=2, working=2, waiting=2)
        visits: list[tuple[asyncio.Task[None], asyncio.Event, asyncio.Event]] = []

        async def request(caller: str, is_uploaded: asyncio.Event, is_done: asyncio.Event) -> None:
            with admission.visit(caller) as visit:
                await is_uploaded.wait()
                async with admission.work(visit):
                    await is_done.wait()

        for caller, step in steps:
            if step == "visit":
                events = asyncio.Event(), asyncio.Event()
                visits.append((asyncio.create_task(request(caller, *events)), *events))
            elif visits and step == "work":
                visits[0][1].set()
            elif visits and step == "end":
                visits[0][1].set()
                visits.pop(0)[2].set()
            elif visits:
                visits.pop(0)[0].cancel()
            await turns_of_the_loop()
            assert admission.num_working <= 2
            assert admission.num_uploads <= 3
            assert admission.num_waiting + admission.num_working <= 4
        for task, is_uploaded, is_done in visits:
            is_uploaded.set()
            is_done.set()
            await asyncio.wait({task})
        await admission.wait_until_idle(timeout_seconds=60)
        assert (admission.num_uploads, admission.num_waiting, admission.num_working) == (0, 0, 0)
        with admission.visit("a"), admission.visit("a"), admission.visit("b"):
            pass

    asyncio.run(story())


def test_a_draining_service_takes_no_new_work_and_waits_for_the_old() -> None:
    async def story() -> None:
        admission = places()
        with admission.visit("a") as visit:
            admission.drain()
            with pytest.raises(Draining), admission.visit("b"):
                pass
            await admission.wait_until_idle(timeout_seconds=0.01)
            assert admission.num_uploads == 1
            async with admission.work(visit):
                assert admission.num_working == 1
        await admission.wait_until_idle(timeout_seconds=60)
        assert admission.num_working == 0

    asyncio.run(story())
