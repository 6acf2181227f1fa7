"""A queue of clips that serves requests in turn, first those of the caller that used least."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass

from service.fair_share.share import Work
from service.inference.model_call import ClipOutput, Frames, Valid


@dataclass(eq=False, slots=True)
class QueuedClip:
    """One clip with the future of its output; frames uint8 [T, H, W, 3], valid bool [T].

    `queued_at` is a `time.perf_counter` value.
    """

    frames: Frames
    valid: Valid
    output: asyncio.Future[ClipOutput]
    queued_at: float
    caller: Hashable


class ClipQueue:
    """Clips by caller: a caller with a thousand clips delays another caller by one clip.

    A caller is a request at work (`Work`); any other object counts as a request that used nothing and never pauses.
    """

    def __init__(self) -> None:
        self._by_caller: OrderedDict[Hashable, deque[QueuedClip]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        """Number of queued clips."""
        return self._length

    def num_waiting(self, *, with_paused: bool) -> int:
        """Return the number of queued clips that no caller has cancelled; `with_paused` also those of paused ones."""
        return sum(
            not clip.output.done()
            for caller, queue in self._by_caller.items()
            if with_paused or not _is_paused(caller)
            for clip in queue
        )

    def append(self, clip: QueuedClip) -> None:
        """Add a clip behind the caller's other clips."""
        self._by_caller.setdefault(clip.caller, deque()).append(clip)
        self._length += 1

    def discard(self, clip: QueuedClip) -> None:
        """Remove a clip, if it is still queued."""
        queue = self._by_caller.get(clip.caller)
        if queue is None or clip not in queue:
            return
        queue.remove(clip)
        self._length -= 1
        if not queue:
            del self._by_caller[clip.caller]

    def take(self, num_clips: int, *, with_paused: bool) -> list[QueuedClip]:
        """Remove and return `num_clips` waiting clips, one per caller in turn; `num_waiting` must be as many.

        The caller that used least comes first; of equal ones, the one that was served longest ago.
        """
        taken: list[QueuedClip] = []
        callers = [caller for caller in self._by_caller if with_paused or not _is_paused(caller)]
        callers.sort(key=_used_by)
        while len(taken) < num_clips:
            for caller in list(callers):
                clip = self._pop(caller)
                if caller not in self._by_caller:
                    callers.remove(caller)
                if not clip.output.done():
                    taken.append(clip)
                if len(taken) == num_clips:
                    break
        return taken

    def _pop(self, caller: Hashable) -> QueuedClip:
        """Remove and return the caller's first clip; the caller is then the last of those that used as much."""
        queue = self._by_caller.pop(caller)
        self._length -= 1
        clip = queue.popleft()
        if queue:
            self._by_caller[caller] = queue
        return clip

    def drain(self) -> list[QueuedClip]:
        """Remove and return all clips."""
        clips = [clip for queue in self._by_caller.values() for clip in queue]
        self._by_caller.clear()
        self._length = 0
        return clips


def _is_paused(caller: Hashable) -> bool:
    return isinstance(caller, Work) and caller.is_paused


def _used_by(caller: Hashable) -> float:
    return caller.used_by_caller if isinstance(caller, Work) else 0.0
