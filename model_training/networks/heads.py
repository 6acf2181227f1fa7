"""The heads, which aggregate features over time: `cnn`, `cnn_bilstm` and `cnn_bilstm_attention`.

A network has two halves: `features` takes pixels, `head` takes features, so the head can be trained alone on stored
features. Both take `valid`; the content of invalid frames never changes an output, bit for bit. Keras 3 layers and
`keras.ops` only.
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
    """Input and output sizes of a head; steps equal frames unless the backbone has temporal convolutions."""

    num_frames: int
    num_steps: int
    feature_width: int
    num_labels: int
    teacher_width: int = 0
    """Width of the teacher's features; 0 without a teacher."""


def cnn(shape: HeadShape, config: HeadConfig) -> Any:
    """The mean over valid steps; their order does not matter."""
    inputs = _inputs(shape, config)
    return _head_model(inputs, inputs.projected, _uniform_attention(inputs.valid_steps), shape, config)


def cnn_bilstm(shape: HeadShape, config: HeadConfig) -> Any:
    """A BiLSTM over the steps, then the mean over valid steps."""
    inputs = _inputs(shape, config)
    x = _bilstm(inputs.projected, inputs.valid_steps, config)
    return _head_model(inputs, x, _uniform_attention(inputs.valid_steps), shape, config)


def cnn_bilstm_attention(shape: HeadShape, config: HeadConfig) -> Any:
    """A BiLSTM over the steps, then multi-head self-attention, then an attention-weighted mean.

    The self-attention covers valid steps only and has a residual connection and layer normalisation. The weights of
    the final mean are the attention that the network outputs.
    """
    inputs = _inputs(shape, config)
    x = _self_attention(_bilstm(inputs.projected, inputs.valid_steps, config), inputs.valid_steps, config)
    hidden = keras.layers.Dense(config.attention_width, activation="tanh", name="attention_hidden")(x)
    scores = ops.squeeze(keras.layers.Dense(1, use_bias=False, name="attention_score")(hidden), axis=-1)
    attention = ops.softmax(ops.where(inputs.valid_steps, scores, _FAR_BELOW), axis=-1)
    return _head_model(inputs, x, attention, shape, config)


HEADS: dict[str, Callable[[HeadShape, HeadConfig], Any]] = {
    "cnn": cnn,
    "cnn_bilstm": cnn_bilstm,
    "cnn_bilstm_attention": cnn_bilstm_attention,
}


@dataclass(frozen=True, slots=True)
class _Inputs:
    features: Any
    valid: Any
    valid_steps: Any
    projected: Any


def _inputs(shape: HeadShape, config: HeadConfig) -> _Inputs:
    """The input layers, and the features after normalisation, dropout and projection."""
    features = keras.Input((shape.num_steps, shape.feature_width), name="features")
    valid = keras.Input((shape.num_frames,), dtype="bool", name="valid")
    x = keras.layers.LayerNormalization(name="feature_norm")(features)
    x = keras.layers.Dropout(config.dropout, name="feature_dropout")(x)
    x = keras.layers.Dense(config.feature_width, activation="gelu", name="feature_projection")(x)
    x = keras.layers.Dropout(config.dropout, name="projection_dropout")(x)
    return _Inputs(features, valid, valid_steps_of(valid, shape.num_steps), x)


def _bilstm(x: Any, valid: Any, config: HeadConfig) -> Any:
    """A BiLSTM that skips invalid steps. Without the cuDNN kernel, which cannot be exported."""
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
    attended = attend(x, x, attention_mask=valid[:, None, :])
    return keras.layers.LayerNormalization(name="self_attention_norm")(x + attended)


def _head_model(inputs: _Inputs, x: Any, attention: Any, shape: HeadShape, config: HeadConfig) -> Any:
    """The head from `inputs` to logits: the mean of `x` weighted by `attention`, plus statistics if enabled."""
    pooled, teacher_features = weighted_mean(x, attention), []
    if config.sees_statistics:
        statistics = keras.layers.LayerNormalization(name="statistics_norm")(
            time_statistics(inputs.features, inputs.valid_steps)
        )
        statistics = keras.layers.Dropout(config.dropout, name="statistics_dropout")(statistics)
        if shape.teacher_width:
            # The logits depend on the predicted teacher features, so fewer examples are needed.
            statistics = keras.layers.Dense(shape.teacher_width, name="teacher_features")(statistics)
            teacher_features = [statistics]
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
        # Softmax over (0, z) is the sigmoid of z and its complement, so all later code sees two labels.
        logits = ops.pad(logits, ((0, 0), (1, 0)))
    outputs = [logits, spread_over_frames(attention, inputs.valid), *teacher_features]
    return keras.Model([inputs.features, inputs.valid], outputs, name="head")


def _uniform_attention(valid: Any) -> Any:
    weights = ops.cast(valid, "float32")
    return weights / ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1.0)
