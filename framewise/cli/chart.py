"""An answer drawn in a terminal: the label, and attention over time as bars.

Knows `framewise.schemas.prediction` and rich; where the answer came from is not its business.
"""

from collections.abc import Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from framewise.schemas.prediction import FrameAttention, Prediction

NUM_ROWS = 6
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_MARGIN = "  "
# Bars at least this wide have room for a gap before the next one.
_LEAST_GAPPED_COLUMNS = 3


def prediction_chart(prediction: Prediction, num_columns: int = 72) -> RenderableType:
    """The whole answer: what, how sure, when, and what to know about it."""
    decision = prediction.prediction
    parts: list[RenderableType] = [decision_line(prediction), Text()]
    for row in prediction.probabilities:
        style = "bold" if row.label == decision.label else "dim"
        num_filled = round(row.probability * 24)
        parts.append(
            Text.assemble(
                _MARGIN, (f"{row.label:<16.16} {row.probability:7.1%} ", style), ("━" * num_filled, "cyan"),
                ("━" * (24 - num_filled), "bright_black"),
            )
        )  # fmt: skip
    if prediction.frames:
        parts += [Text(), attention_chart(prediction.frames, prediction.video.duration_seconds, num_columns)]
    parts += [Text(f"{_MARGIN}! {warning.message}", style="yellow") for warning in prediction.warnings]
    return Group(*parts)


def decision_line(prediction: Prediction) -> Text:
    """The likeliest label and its probability; says so when that is too little to go by."""
    decision = prediction.prediction
    line = Text.assemble(_MARGIN, (decision.label, "bold cyan"), f"  {decision.probability:.1%}")
    if not decision.accepted:
        line.append("  not sure enough to say", style="yellow")
    return line.append(f"  {prediction.model.name}/{prediction.model.version}", style="dim")


def attention_chart(frames: Sequence[FrameAttention], duration_seconds: float, num_columns: int = 72) -> Text:
    """Bars of attention, as tall as the most attended frame is full height, over an axis in seconds."""
    columns = attention_columns(frames, duration_seconds, num_columns)
    peak = max(columns, default=0.0) or 1.0
    best = max(frames, key=lambda frame: frame.attention)
    chart = Text(f"{_MARGIN}attention per frame, most at {best.time_seconds:.2f} s ({best.attention:.1%})\n")
    for row in reversed(range(NUM_ROWS)):
        eighths = (min(max(round(value / peak * NUM_ROWS * 8) - row * 8, 0), 8) for value in columns)
        chart.append(_MARGIN + "".join(_EIGHTHS[count] for count in eighths).rstrip() + "\n", style="cyan")
    end = f"{duration_seconds:.2f} s"
    chart.append(f"{_MARGIN}{'─' * num_columns}\n{_MARGIN}0{end:>{num_columns - 1}}", style="dim")
    return chart


def attention_columns(frames: Sequence[FrameAttention], duration_seconds: float, num_columns: int) -> list[float]:
    """Attention in each of `num_columns` equal parts of the video: 0 between bars, the most where several fall.

    A frame's bar begins at its own time, and ends before that of the next frame looked at. Clips
    overlap: a frame of two of them counts with the one where it drew more attention.
    """
    scale = num_columns / max(duration_seconds, 1e-9)
    attention_at: dict[float, float] = {}
    for frame in sorted(frames, key=lambda frame: frame.time_seconds):
        attention_at[frame.time_seconds] = max(frame.attention, attention_at.get(frame.time_seconds, 0.0))
    places = [min(int(seconds * scale), num_columns - 1) for seconds in attention_at]
    rooms = [end - start for start, end in pairwise([*places, num_columns])]
    # Not across a stretch that no frame was taken from: that would claim it was looked at.
    usual = sorted(rooms)[len(rooms) // 2]
    width = usual - 1 if usual >= _LEAST_GAPPED_COLUMNS else usual
    columns = [0.0] * num_columns
    for attention, place, room in zip(attention_at.values(), places, rooms, strict=True):
        for column in range(place, place + max(1, min(width, room))):
            columns[column] = max(columns[column], attention)
    return columns
