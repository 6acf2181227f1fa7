"""Slots for concurrent deliveries, shared by keys and hosts, so that a callback that never responds delays no other.

A slot is taken only while enough others are free (dynamic thresholds: Choudhury and Hahne, 1998). However many
callbacks of one key or one host are due, another key's callback finds a free slot at once:

    one key                       as many slots as are then free: a half
    one key at one host           half as many: a third
    one host                      three times as many: three quarters
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

_Name = TypeVar("_Name")
_MOST_OF_RECIPIENT, _MOST_OF_KEY, _MOST_OF_HOST = 0.5, 1, 3
"""Slots that each may hold, for each slot that is free."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """The callbacks of one API key (empty without keys) at one host."""

    owner: str
    host: str


class DeliverySlots:
    """The slots of one process."""

    def __init__(self, num_slots: int) -> None:
        self._num_free = num_slots
        self._by_recipient: Counter[Recipient] = Counter()
        self._by_owner: Counter[str] = Counter()
        self._by_host: Counter[str] = Counter()

    def next_recipient(self, due_since: Mapping[Recipient, float]) -> Recipient | None:
        """Whose turn is next: the recipient that may take a slot and whose key holds the fewest, then the first due.

        `due_since` has the time at which the first callback of each recipient became due.
        """
        allowed = filter(self._may_take, due_since)
        return min(
            allowed,
            key=lambda recipient: (
                self._by_owner[recipient.owner],
                self._by_recipient[recipient],
                due_since[recipient],
            ),
            default=None,
        )

    def take(self, recipient: Recipient) -> None:
        """Take a slot."""
        self._count(recipient, 1)

    def release(self, recipient: Recipient) -> None:
        """Release a slot."""
        self._count(recipient, -1)

    def _may_take(self, recipient: Recipient) -> bool:
        # Without keys all jobs have the same owner; then only hosts tell callbacks apart.
        is_within_key = not recipient.owner or self._by_owner[recipient.owner] < _MOST_OF_KEY * self._num_free
        return (
            is_within_key
            and self._by_recipient[recipient] < _MOST_OF_RECIPIENT * self._num_free
            and self._by_host[recipient.host] < _MOST_OF_HOST * self._num_free
        )

    def _count(self, recipient: Recipient, change: int) -> None:
        self._num_free -= change
        _add(self._by_recipient, recipient, change)
        _add(self._by_owner, recipient.owner, change)
        _add(self._by_host, recipient.host, change)


def _add(counter: Counter[_Name], name: _Name, change: int) -> None:
    """Change a count, and forget it at zero: the number of keys that ever had a callback is not bounded."""
    counter[name] += change
    if not counter[name]:
        del counter[name]
