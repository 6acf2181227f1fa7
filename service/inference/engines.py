"""Chooses the engine. Each is imported when it is asked for, which takes seconds, and the others never are."""

from functools import partial

from service.inference.engine import EngineName, LoadEngine


def import_engine(name: EngineName, num_threads: int) -> LoadEngine:
    """What loads models into the engine of that name, with `num_threads` processor threads for all of them."""
    if name == "openvino":
        from service.inference.openvino_engine import OpenVinoEngine  # noqa: PLC0415

        return partial(OpenVinoEngine, num_threads=num_threads)
    from service.inference.tensorflow_engine import SavedModelEngine, use_threads  # noqa: PLC0415

    use_threads(num_threads)
    return SavedModelEngine
