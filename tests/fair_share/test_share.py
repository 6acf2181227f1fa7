"""Requests at work give way to callers that used less, in seconds used; the clock and the processes are the test's."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from service.fair_share.ledger import MAX_CALLERS, UsageLedger
from service.fair_share.settings import FairShareSettings
from service.fair_share.share import FairShare, Work
from service.fair_share.slots import FairSlots

SETTINGS = FairShareSettings(
    fair_share_half_life_seconds=10, fair_share_turn_seconds=0.5, fair_share_max_pause_seconds=5
)


@dataclass
class Clock:
    """A clock that the test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Process:
    """A process whose processor time the test sets, and the signals that it got."""

    seconds: float = 0.0
    signals: list[str] = field(default_factory=list)

    def processor_seconds(self) -> float:
        """The seconds that the test set."""
        return self.seconds

    def pause(self) -> None:
        """Record it."""
        self.signals.append("pause")

    def resume(self) -> None:
        """Record it."""
        self.signals.append("resume")


@dataclass
class Scene:
    """Requests at work on two threads, without a real second."""

    clock: Clock = field(default_factory=Clock)
    num_threads: int = 2
    settings: FairShareSettings = SETTINGS
    ends: ExitStack = field(default_factory=ExitStack)
    share: FairShare = field(init=False)

    def __post_init__(self) -> None:
        self.share = FairShare(self.settings, num_threads=self.num_threads, clock=self.clock)

    def begin(self, caller: str, used: float = 0) -> Work:
        """A request of `caller` that used so many seconds."""
        work = self.ends.enter_context(self.share.work(caller))
        work.charge(used)
        self.share.reconsider()
        return work


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()

    asyncio.run(bounded())


async def run_ready_tasks() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_half_of_what_a_caller_used_is_forgotten_in_each_half_life() -> None:
    clock = Clock()
    ledger = UsageLedger(10, clock)
    ledger.charge("a", 8)
    clock.now += 10
    assert ledger.used("a") == pytest.approx(4)
    ledger.charge("a", 4)
    clock.now += 20
    assert ledger.used("a") == pytest.approx(2)
    assert ledger.used("unknown") == 0


def test_the_ledger_remembers_a_bounded_number_of_callers_and_those_that_used_most() -> None:
    ledger = UsageLedger(10, Clock())
    ledger.charge("heavy", 100)
    for number in range(2 * MAX_CALLERS):
        ledger.charge(f"caller {number}", 0.01)
        assert len(ledger) <= MAX_CALLERS
    assert ledger.used("heavy") == 100


def test_a_request_of_a_heavy_caller_pauses_for_one_of_a_light_caller() -> None:
    async def scenario() -> None:
        scene = Scene()
        heavy, process = scene.begin("heavy", used=20), Process()
        heavy.attach(process)
        process.seconds += 3
        assert not heavy.is_paused
        with scene.share.work("light") as light:
            assert (heavy.is_paused, light.is_paused) == (True, False)
            assert process.signals == ["pause"]
            # What the process used until it stopped is charged to the request and its caller.
            assert heavy.seconds == scene.share.ledger.used("heavy") == 23
            # Elapsed time, which some systems measure instead, is not used.
            process.seconds += 100
        scene.clock.now += 0.1
        scene.share.reconsider()
        assert not heavy.is_paused
        assert process.signals == ["pause", "resume"]
        assert scene.share.num_pauses == 1
        process.seconds += 1
        scene.share.measure()
        assert heavy.seconds == 24

    run(scenario)


def test_a_request_stays_paused_for_a_moment_after_another_one_in_case_a_further_one_follows() -> None:
    async def scenario() -> None:
        scene = Scene()
        heavy = scene.begin("heavy", used=20)
        paused = []
        for _ in range(3):
            with scene.share.work("light"):
                paused.append(heavy.is_paused)
            scene.clock.now += 0.03
            scene.share.reconsider()
            paused.append(heavy.is_paused)
        assert all(paused)
        assert scene.share.num_pauses == 1
        scene.clock.now += 0.02
        scene.share.reconsider()
        assert not heavy.is_paused

    run(scenario)


def test_a_process_that_begins_while_its_request_pauses_is_stopped_and_continued_at_the_end() -> None:
    async def scenario() -> None:
        scene = Scene()
        heavy, process = scene.begin("heavy", used=20), Process()
        with scene.share.work("light"):
            heavy.attach(process)
            heavy.detach()
            assert process.signals == ["pause", "resume"]

    run(scenario)


def test_requests_of_one_caller_never_pause_for_each_other() -> None:
    async def scenario() -> None:
        scene = Scene()
        works = [scene.begin("one", used) for used in (50, 20, 0, 0)]
        assert not any(work.is_paused for work in works)

    run(scenario)


def test_a_request_that_has_not_used_its_turn_pauses_only_for_a_caller_that_used_less_than_half() -> None:
    async def scenario() -> None:
        scene = Scene()
        scene.share.ledger.charge("more", 8)
        scene.share.ledger.charge("less", 5)
        short = scene.begin("more", used=0.1)
        scene.begin("less")
        assert not short.is_paused
        # A long request of the same caller does pause.
        long = scene.begin("more", used=0.6)
        assert (short.is_paused, long.is_paused) == (False, True)
        scene.begin("new")
        assert short.is_paused

    run(scenario)


def test_callers_that_use_about_the_same_do_not_pause() -> None:
    async def scenario() -> None:
        scene = Scene()
        works = [scene.begin(caller, used) for caller, used in (("a", 9.0), ("b", 9.4), ("c", 9.2))]
        assert not any(work.is_paused for work in works)

    run(scenario)


def test_a_long_request_of_a_light_caller_pauses_others_only_until_it_used_as_much() -> None:
    async def scenario() -> None:
        scene = Scene()
        first = scene.begin("first", used=4)
        second = scene.begin("second")
        paused = []
        for _ in range(8):
            paused.append(first.is_paused)
            second.charge(1)
            scene.share.reconsider()
        assert paused == [True, True, True, True, False, False, False, False]
        # It now used more than a turn more, and gives way itself.
        assert second.is_paused

    run(scenario)


def test_a_request_is_not_paused_while_threads_are_left() -> None:
    async def scenario() -> None:
        scene = Scene(num_threads=8)
        works = [scene.begin("heavy", used=20) for _ in range(8)]
        scene.begin("light")
        # Two threads are kept free for the light request.
        assert sum(work.is_paused for work in works) == 2

    run(scenario)


def test_the_longest_pause_ends_with_a_turn() -> None:
    """Otherwise an endless row of new callers would keep a heavy one from ever ending."""

    async def scenario() -> None:
        scene = Scene()
        heavy = scene.begin("heavy", used=500)
        scene.begin("light")
        paused = []
        # Seconds that pass, and seconds that the heavy request uses meanwhile.
        for passed, used in ((4.9, 0), (0.1, 0), (0, 0.4), (0, 0.2)):
            scene.clock.now += passed
            heavy.charge(used)
            scene.share.reconsider()
            paused.append(heavy.is_paused)
        assert paused == [True, False, False, True]

    run(scenario)


def test_a_pause_ends_without_any_event_when_the_other_caller_used_enough() -> None:
    async def scenario() -> None:
        scene = Scene()
        heavy = scene.begin("heavy", used=2)
        light, process, is_resumed = scene.begin("light"), Process(), asyncio.Event()
        light.attach(process)
        heavy.on_resume(is_resumed.set)
        assert heavy.is_paused
        process.seconds = 2
        await is_resumed.wait()

    run(scenario)


def test_the_waiting_caller_that_used_least_is_next_and_equal_ones_in_order_of_arrival() -> None:
    async def scenario() -> None:
        scene = Scene()
        slots = FairSlots(scene.share, 1)
        scene.share.ledger.charge("heavy", 10)
        served: list[str] = []

        async def request(caller: str) -> None:
            async with slots.hold(caller):
                served.append(caller)

        async with slots.hold("first"):
            tasks = [asyncio.create_task(request(caller)) for caller in ("heavy", "heavy", "new", "light", "new")]
            scene.share.ledger.charge("light", 0.1)
            await run_ready_tasks()
            assert slots.waiting == {"heavy": 2, "new": 2, "light": 1}
        await asyncio.gather(*tasks)
        assert served == ["new", "new", "light", "heavy", "heavy"]
        assert (slots.num_held, slots.waiting) == (0, {})

    run(scenario)


def test_a_caller_without_a_slot_gets_an_extra_one_if_a_request_gives_way() -> None:
    async def scenario() -> None:
        scene = Scene()
        slots = FairSlots(scene.share, 2)
        async with slots.hold("heavy"), slots.hold("heavy"):
            works = [scene.begin("heavy", used=10) for _ in range(2)]
            async with slots.hold("light"):
                with scene.share.work("light"):
                    assert all(work.is_paused for work in works)
                assert slots.num_held == 3
                # One extra slot for each caller, and none for the heavy one.
                waiting = [asyncio.create_task(slots.acquire(caller)) for caller in ("light", "heavy")]
                await run_ready_tasks()
                assert not any(task.done() for task in waiting)
            await waiting[0]
            assert (slots.held, waiting[1].done()) == ({"heavy": 2, "light": 1}, False)
            slots.release("light")
        await waiting[1]
        slots.release("heavy")
        assert slots.num_held == 0

    run(scenario)


def test_extra_slots_are_bounded() -> None:
    async def scenario() -> None:
        scene = Scene(settings=SETTINGS.model_copy(update={"max_preempting_requests": 2}))
        slots = FairSlots(scene.share, 1)
        async with slots.hold("heavy"):
            scene.begin("heavy", used=10)
            async with slots.hold("a"), slots.hold("b"):
                third = asyncio.create_task(slots.acquire("c"))
                await run_ready_tasks()
                assert (slots.num_held, third.done()) == (3, False)
            await third

    run(scenario)


def test_equal_callers_wait_for_a_slot_as_short_requests_end_by_themselves() -> None:
    async def scenario() -> None:
        scene = Scene()
        slots = FairSlots(scene.share, 1)
        for caller in ("a", "b"):
            scene.share.ledger.charge(caller, 3)
        async with slots.hold("a"):
            scene.begin("a", used=0.4)
            second = asyncio.create_task(slots.acquire("b"))
            await run_ready_tasks()
            assert not second.done()
        await second

    run(scenario)


def test_a_caller_that_leaves_the_queue_loses_no_slot() -> None:
    async def scenario() -> None:
        scene = Scene()
        slots = FairSlots(scene.share, 1)
        await slots.acquire("a")
        waiting = asyncio.create_task(slots.acquire("b"))
        await run_ready_tasks()
        # The slot is granted and the request cancelled in the same turn of the event loop.
        slots.release("a")
        waiting.cancel()
        await asyncio.wait({waiting})
        assert (slots.num_held, slots.waiting) == (0, {})
        async with slots.hold("c"):
            assert slots.held == {"c": 1}

    run(scenario)
