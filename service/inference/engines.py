"""Chooses the engine. Each is imported when it is asked for, which takes seconds, and the others never are."""

from functools import partial

from service.inference.engine import EngineName, EngineRuntime


def import_engine(name: EngineName, num_threads: int) -> EngineRuntime:
    """The engine of that name, with `num_threads` processor threads for all its models."""
    if name == "openvino":
        from service.inference.openvino_engine import OpenVinoEngine  # noqa: PLC0415

        # Its threads leave each other nothing to fill: docs/decisions/0002.
        return EngineRuntime(partial(OpenVinoEngine, num_threads=num_threads), concurrent_calls=1)
    from service.inference.tensorflow_engine import SavedModelEngine, use_threads  # noqa: PLC0415

    return EngineRuntime(SavedModelEngine, concurrent_calls=use_threads(num_threads))
