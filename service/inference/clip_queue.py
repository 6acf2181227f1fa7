"""A queue of clips that serves its callers round-robin."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from dataclasses import dataclass

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


class ClipQueue:
    """Clips by caller: a caller with a thousand clips delays another caller by one clip."""

    def __init__(self) -> None:
        self._by_caller: OrderedDict[Hashable, deque[QueuedClip]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        """Number of queued clips."""
        return self._length

    @property
    def num_waiting(self) -> int:
        """Number of queued clips that no caller has cancelled."""
        return sum(not clip.output.done() for queue in self._by_caller.values() for clip in queue)

    def append(self, caller: Hashable, clip: QueuedClip) -> None:
        """Add a clip behind the caller's other clips."""
        self._by_caller.setdefault(caller, deque()).append(clip)
        self._length += 1

    def discard(self, caller: Hashable, clip: QueuedClip) -> None:
        """Remove a clip, if it is still queued."""
        queue = self._by_caller.get(caller)
        if queue is None or clip not in queue:
            return
        queue.remove(clip)
        self._length -= 1
        if not queue:
            del self._by_caller[caller]

    def take(self, num_clips: int) -> list[QueuedClip]:
        """Remove and return `num_clips` waiting clips, one per caller in turn; there must be as many."""
        taken: list[QueuedClip] = []
        while len(taken) < num_clips:
            caller, queue = self._by_caller.popitem(last=False)
            clip = queue.popleft()
            self._length -= 1
            if queue:
                self._by_caller[caller] = queue
            if not clip.output.done():
                taken.append(clip)
        return taken

    def drain(self) -> list[QueuedClip]:
        """Remove and return all clips."""
        clips = [clip for queue in self._by_caller.values() for clip in queue]
        self._by_caller.clear()
        self._length = 0
        return clips
