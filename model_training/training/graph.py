"""Compiles functions to TensorFlow graphs."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def compile_graph(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a single graph that takes batches of any size; traced at the first call.

    A graph per batch size would round differently, and the order in which they are traced depends on where a run
    was resumed.
    """
    graphs: list[Any] = []

    def call(*arrays: Any) -> Any:
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        if not graphs:
            signature = [tf.TensorSpec([None, *one.shape[1:]] if one.shape.rank else [], one.dtype) for one in tensors]
            graphs.append(tf.function(function, input_signature=signature).get_concrete_function())
        return graphs[0](*tensors)

    return call
