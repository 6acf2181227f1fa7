"""When each frame is shown: by its timestamps, or counted at a frame rate. Pure arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

import numpy as np
from numpy.typing import NDArray

from service.video.clock import PacketFacts

_ASSUMED_FRAME_RATE = 25.0
_MAX_FRAME_RATE = 1000.0
"""A container that claims a higher rate states the unit of its clock instead."""


@dataclass(frozen=True, slots=True)
class ShownTicks:
    """When each frame comes on screen, in ticks: `start` on the file's clock, `offsets` float64 [F] from there on."""

    start: int
    offsets: NDArray[np.float64]

    @property
    def typical_step(self) -> float:
        """Median ticks from one frame to the next; 0 for a single frame."""
        return float(median(np.diff(self.offsets).tolist())) if len(self.offsets) > 1 else 0.0

    @classmethod
    def interpolated(cls, ticks: Sequence[int | None]) -> Self | None:
        """Replace missing and repeated ticks by values between or after their neighbours; None if too few are known."""
        known: list[tuple[int, int]] = []
        for position, value in enumerate(ticks):
            if value is not None and (not known or value > known[-1][1]):
                known.append((position, value))
        if not known or (len(known) == 1 and len(ticks) > 1):
            return None
        origin = known[0][1]
        positions = np.array([position for position, _ in known])
        # Subtracted before conversion to float, so that large start times stay exact.
        values = np.array([value - origin for _, value in known], dtype=np.float64)
        if len(known) == len(ticks):
            return cls(origin, values)
        step = float(np.median(np.diff(values) / np.diff(positions)))
        everywhere = np.arange(len(ticks))
        filled = np.interp(everywhere, positions, values)
        filled += np.maximum(everywhere - positions[-1], 0) * step
        filled += np.minimum(everywhere - positions[0], 0) * step
        return cls(round(origin + float(filled[0])), filled - filled[0])


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """When each shown frame comes on screen, and when the last one ends.

    `seconds` float64 [F] starts at 0 and never decreases; `start_seconds` is the first frame on the file's clock.
    `is_rate_assumed` is true if no timestamp is usable and frames are counted.
    """

    seconds: NDArray[np.float64]
    duration_seconds: float
    start_seconds: float = 0.0
    is_rate_assumed: bool = False

    @classmethod
    def timed(cls, shown: ShownTicks, seconds_per_tick: float, last_ticks: float, frame_rate: float) -> Self:
        """Frames shown at their timestamps; the last one for `last_ticks`, or if 0 for one typical step."""
        seconds = shown.offsets * seconds_per_tick
        last_seconds = (last_ticks or shown.typical_step) * seconds_per_tick or 1 / frame_rate
        return cls(seconds, float(seconds[-1] + last_seconds), shown.start * seconds_per_tick)

    @classmethod
    def counted(cls, num_frames: int, frame_rate: float) -> Self:
        """Frames shown at a constant rate, because no timestamp is usable."""
        seconds = np.arange(num_frames) / frame_rate
        return cls(seconds, float(seconds[-1] + 1 / frame_rate), is_rate_assumed=num_frames > 1)


def assumed_frame_rate(packets: Sequence[PacketFacts], seconds_per_tick: float, claimed: float | None) -> float:
    """Frames per second for frames without timestamps: by the packets' durations, else as claimed, else 25."""
    durations = [packet.duration for packet in packets if packet.duration > 0 and not packet.is_discarded]
    typical = median(durations) * seconds_per_tick if durations else 0.0
    for rate in (1 / typical if typical > 0 else 0.0, claimed or 0.0):
        if 0 < rate <= _MAX_FRAME_RATE:
            return rate
    return _ASSUMED_FRAME_RATE
