"""Imports the selected engine. The import takes seconds, so the other engine is never imported."""

from functools import partial

from service.inference.engine import EngineName, EngineRuntime


def import_engine(name: EngineName, num_threads: int) -> EngineRuntime:
    """Import the engine `name`, with `num_threads` processor threads for all its models. Takes seconds."""
    if name == "openvino":
        from service.inference.openvino_engine import OpenVinoEngine  # noqa: PLC0415

        # One call uses all threads; a second call would only compete (docs/decisions/0002).
        return EngineRuntime(partial(OpenVinoEngine, num_threads=num_threads), num_batch_threads=1)
    from service.inference.tensorflow_engine import SavedModelEngine, configure_threads  # noqa: PLC0415

    return EngineRuntime(SavedModelEngine, num_batch_threads=configure_threads(num_threads))
