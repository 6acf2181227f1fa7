"""Slots of deliveries: what one key or one host may hold, and whose turn is next."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.delivery.slots import DeliverySlots, Recipient

MINE, YOURS = Recipient("mine", "a.example"), Recipient("yours", "a.example")


def taken(slots: DeliverySlots, *due: Recipient) -> Counter[Recipient]:
    """The slots that are taken while all of these recipients have many callbacks due."""
    counts: Counter[Recipient] = Counter()
    since = {recipient: float(number) for number, recipient in enumerate(due)}
    while (recipient := slots.next_recipient(since)) is not None:
        slots.take(recipient)
        counts[recipient] += 1
    return counts


def test_one_key_holds_a_third_at_one_host_and_half_in_all() -> None:
    assert taken(DeliverySlots(32), MINE)[MINE] == 11
    hosts = [Recipient("mine", f"{number}.example") for number in range(50)]
    assert taken(DeliverySlots(32), *hosts).total() == 16


def test_one_host_holds_three_quarters() -> None:
    keys = [Recipient(f"key-{number}", "a.example") for number in range(50)]
    assert taken(DeliverySlots(32), *keys).total() == 24


def test_without_keys_one_host_holds_a_third() -> None:
    slots = DeliverySlots(32)
    assert taken(slots, Recipient("", "a.example")).total() == 11
    assert slots.next_recipient({Recipient("", "b.example"): 0.0}) is not None


@pytest.mark.parametrize("num_slots", [2, 3, 8, 32])
def test_a_key_without_a_slot_gets_one_at_once_whatever_another_key_holds(num_slots: int) -> None:
    slots = DeliverySlots(num_slots)
    taken(slots, *(Recipient("mine", f"{number}.example") for number in range(50)))
    assert slots.next_recipient({MINE: 0.0, YOURS: 9.0}) == YOURS


def test_the_key_that_holds_the_fewest_slots_comes_first_then_the_first_due() -> None:
    slots = DeliverySlots(32)
    slots.take(MINE)
    assert slots.next_recipient({MINE: 0.0, YOURS: 9.0}) == YOURS
    slots.take(YOURS)
    assert slots.next_recipient({MINE: 0.0, YOURS: 9.0}) == MINE
    slots.take(MINE)
    slots.release(MINE)
    slots.release(MINE)
    assert slots.next_recipient({MINE: 0.0, YOURS: 9.0}) == MINE


_recipients = st.builds(Recipient, st.sampled_from(["", "a", "b", "c"]), st.sampled_from(["x", "y"]))


@given(num_slots=st.integers(1, 40), steps=st.lists(st.tuples(st.booleans(), st.lists(_recipients, max_size=4))))
def test_the_slots_are_never_exceeded_and_a_single_recipient_always_gets_one(
    num_slots: int, steps: list[tuple[bool, list[Recipient]]]
) -> None:
    slots = DeliverySlots(num_slots)
    held: list[Recipient] = []
    for is_release, due in steps:
        if is_release and held:
            slots.release(held.pop())
        elif (recipient := slots.next_recipient(dict.fromkeys(due, 0.0))) is not None:
            slots.take(recipient)
            held.append(recipient)
        assert len(held) <= num_slots
    while held:
        slots.release(held.pop())
    assert slots.next_recipient({MINE: 0.0}) == MINE
