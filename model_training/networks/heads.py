"""CNN over frames, then what looks over time: `cnn`, `cnn_bilstm` and `cnn_bilstm_attention`.

Every network has two halves, so that the second can be trained alone on stored features: `features`
sees pixels; `head` sees only features. Both take `valid`, and what stands in an invalid frame changes
nothing, bit for bit. Keras 3 layers and `keras.ops` only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from model_training.config import HeadConfig
from model_training.networks.temporal import spread_over_frames, time_statistics, valid_steps_of, weighted_mean

_FAR_BELOW = -1e9


@dataclass(frozen=True, slots=True)
class HeadShape:
    """What a head is given and must answer; frames and steps are the same but for a backbone that sees time."""

    num_frames: int
    num_steps: int
    feature_width: int
    num_labels: int
    teacher_width: int = 0
    """How many numbers a teacher tells of a clip."""


def cnn(shape: HeadShape, config: HeadConfig) -> Any:
    """The mean over valid steps: their order does not matter."""
    given = _given(shape, config)
    return _head_model(given, given.projected, _uniform_attention(given.valid_steps), shape, config)


def cnn_bilstm(shape: HeadShape, config: HeadConfig) -> Any:
    """Steps in order through a BiLSTM, then the mean over valid steps."""
    given = _given(shape, config)
    x = _bilstm(given.projected, given.valid_steps, config)
    return _head_model(given, x, _uniform_attention(given.valid_steps), shape, config)


def cnn_bilstm_attention(shape: HeadShape, config: HeadConfig) -> Any:
    """Steps in order through a BiLSTM, then each looks at all others, then a mean weighted by attention.

    The self-attention has several heads, sees valid steps only, and is added to what went in and
    normalised. The weights of the last mean are the attention that the network answers.
    """
    given = _given(shape, config)
    x = _self_attention(_bilstm(given.projected, given.valid_steps, config), given.valid_steps, config)
    hidden = keras.layers.Dense(config.attention_width, activation="tanh", name="attention_hidden")(x)
    scores = ops.squeeze(keras.layers.Dense(1, use_bias=False, name="attention_score")(hidden), axis=-1)
    attention = ops.softmax(ops.where(given.valid_steps, scores, _FAR_BELOW), axis=-1)
    return _head_model(given, x, attention, shape, config)


HEADS: dict[str, Callable[[HeadShape, HeadConfig], Any]] = {
    "cnn": cnn,
    "cnn_bilstm": cnn_bilstm,
    "cnn_bilstm_attention": cnn_bilstm_attention,
}


@dataclass(frozen=True, slots=True)
class _Given:
    features: Any
    valid: Any
    valid_steps: Any
    projected: Any


def _given(shape: HeadShape, config: HeadConfig) -> _Given:
    features = keras.Input((shape.num_steps, shape.feature_width), name="features")
    valid = keras.Input((shape.num_frames,), dtype="bool", name="valid")
    x = keras.layers.LayerNormalization(name="feature_norm")(features)
    x = keras.layers.Dropout(config.dropout, name="feature_dropout")(x)
    x = keras.layers.Dense(config.feature_width, activation="gelu", name="feature_projection")(x)
    x = keras.layers.Dropout(config.dropout, name="projection_dropout")(x)
    return _Given(features, valid, valid_steps_of(valid, shape.num_steps), x)


def _bilstm(x: Any, valid: Any, config: HeadConfig) -> Any:
    """A BiLSTM that stands still on invalid steps. No cuDNN kernel: those do not survive export."""
    lstm = keras.layers.LSTM(
        config.lstm_units,
        return_sequences=True,
        use_cudnn=False,
        name="lstm",
    )
    return keras.layers.Bidirectional(lstm, name="bilstm")(x, mask=valid)


def _self_attention(x: Any, valid: Any, config: HeadConfig) -> Any:
    attend = keras.layers.MultiHeadAttention(
        config.num_attention_heads,
        max(1, x.shape[-1] // config.num_attention_heads),
        dropout=config.dropout,
        flash_attention=False,
        name="self_attention",
    )
    seen = attend(x, x, attention_mask=valid[:, None, :])
    return keras.layers.LayerNormalization(name="self_attention_norm")(x + seen)


def _head_model(given: _Given, x: Any, attention: Any, shape: HeadShape, config: HeadConfig) -> Any:
    """Close a head: the mean of `x` weighted by `attention`, statistics if asked for, and a layer that names it."""
    pooled, distillation_targets = weighted_mean(x, attention), []
    if config.sees_statistics:
        statistics = keras.layers.LayerNormalization(name="statistics_norm")(
            time_statistics(given.features, given.valid_steps)
        )
        statistics = keras.layers.Dropout(config.dropout, name="statistics_dropout")(statistics)
        if shape.teacher_width:
            # The answer rests on what the teacher would have seen, and so needs fewer examples.
            statistics = keras.layers.Dense(shape.teacher_width, name="distillation_target")(statistics)
            distillation_targets = [statistics]
        else:
            statistics = keras.layers.Dense(config.feature_width, activation="gelu", name="statistics_projection")(
                statistics
            )
        pooled = ops.concatenate([pooled, statistics], axis=-1)
    pooled = keras.layers.Dropout(config.dropout, name="pooled_dropout")(pooled)
    is_binary = config.kind == "sigmoid"
    num_logits = 1 if is_binary else shape.num_labels
    logits = keras.layers.Dense(num_logits, name="logits")(pooled)
    if is_binary:
        # Softmax over (0, z) is the sigmoid of z and its complement: all that follows knows two labels only.
        logits = ops.pad(logits, ((0, 0), (1, 0)))
    answers = [logits, spread_over_frames(attention, given.valid), *distillation_targets]
    return keras.Model([given.features, given.valid], answers, name="head")


def _uniform_attention(valid: Any) -> Any:
    weights = ops.cast(valid, "float32")
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1.0)
