"""Draws a prediction in a terminal: the labels, and a bar chart of attention over time."""

from collections.abc import Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from framewise.schemas.prediction import FrameAttention, Prediction

NUM_ROWS = 6
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_ASCII_EIGHTHS = " _.-:=+*#"
_FILLED, _EMPTY, _AXIS = "━", "━", "─"
_ASCII_FILLED, _ASCII_EMPTY, _ASCII_AXIS = "=", ".", "-"
GLYPHS = _EIGHTHS + _FILLED + _AXIS
"""Characters of a chart that is not ASCII."""
_MARGIN = "  "
# Narrower bars have no gap between them.
_MIN_COLUMNS_WITH_GAP = 3


def prediction_chart(prediction: Prediction, num_columns: int = 72, *, is_ascii: bool = False) -> RenderableType:
    """Label, probabilities, attention chart and warnings of a prediction, for `Console.print`."""
    filled, empty = (_ASCII_FILLED, _ASCII_EMPTY) if is_ascii else (_FILLED, _EMPTY)
    decision = prediction.prediction
    parts: list[RenderableType] = [decision_line(prediction), Text()]
    for row in prediction.probabilities:
        style = "bold" if row.label == decision.label else "dim"
        num_filled = round(row.probability * 24)
        parts.append(
            Text.assemble(
                _MARGIN, (f"{row.label:<16.16} {row.probability:7.1%} ", style), (filled * num_filled, "cyan"),
                (empty * (24 - num_filled), "bright_black"),
            )
        )  # fmt: skip
    if prediction.frames:
        seconds = prediction.video.duration_seconds
        parts += [Text(), attention_chart(prediction.frames, seconds, num_columns, is_ascii=is_ascii)]
    parts += [Text(f"{_MARGIN}! {warning.message}", style="yellow") for warning in prediction.warnings]
    return Group(*parts)


def decision_line(prediction: Prediction) -> Text:
    """The most probable label, its probability and the model; marked if the label is not accepted."""
    decision = prediction.prediction
    line = Text.assemble(_MARGIN, (decision.label, "bold cyan"), f"  {decision.probability:.1%}")
    if not decision.accepted:
        line.append("  below the threshold", style="yellow")
    return line.append(f"  {prediction.model.name}/{prediction.model.version}", style="dim")


def attention_chart(
    frames: Sequence[FrameAttention], duration_seconds: float, num_columns: int = 72, *, is_ascii: bool = False
) -> Text:
    """Bar chart of attention over a time axis in seconds; the tallest bar has full height."""
    eighth_glyphs, axis = (_ASCII_EIGHTHS, _ASCII_AXIS) if is_ascii else (_EIGHTHS, _AXIS)
    columns = attention_columns(frames, duration_seconds, num_columns)
    peak = max(columns, default=0.0) or 1.0
    best = max(frames, key=lambda frame: frame.attention)
    chart = Text(f"{_MARGIN}attention per frame, most at {best.time_seconds:.2f} s ({best.attention:.1%})\n")
    for row in reversed(range(NUM_ROWS)):
        eighths = (min(max(round(value / peak * NUM_ROWS * 8) - row * 8, 0), 8) for value in columns)
        chart.append(_MARGIN + "".join(eighth_glyphs[count] for count in eighths).rstrip() + "\n", style="cyan")
    end = f"{duration_seconds:.2f} s"
    chart.append(f"{_MARGIN}{axis * num_columns}\n{_MARGIN}0{end:>{num_columns - 1}}", style="dim")
    return chart


def attention_columns(frames: Sequence[FrameAttention], duration_seconds: float, num_columns: int) -> list[float]:
    """Attention in each of `num_columns` equal parts of the video: the maximum over its frames, 0 between bars.

    The bar of a frame starts at the frame's time and ends before the next sampled frame. A frame that belongs to two
    overlapping clips has the higher of its two attentions.
    """
    scale = num_columns / max(duration_seconds, 1e-9)
    attention_at: dict[float, float] = {}
    for frame in sorted(frames, key=lambda frame: frame.time_seconds):
        attention_at[frame.time_seconds] = max(frame.attention, attention_at.get(frame.time_seconds, 0.0))
    starts = [min(int(seconds * scale), num_columns - 1) for seconds in attention_at]
    spans = [end - start for start, end in pairwise([*starts, num_columns])]
    # The median span bounds the width, so that no bar covers a part of the video without sampled frames.
    median = sorted(spans)[len(spans) // 2]
    width = median - 1 if median >= _MIN_COLUMNS_WITH_GAP else median
    columns = [0.0] * num_columns
    for attention, start, span in zip(attention_at.values(), starts, spans, strict=True):
        for column in range(start, start + max(1, min(width, span))):
            columns[column] = max(columns[column], attention)
    return columns
