"""Errors of the Open Inference Protocol."""


class MalformedInference(Exception):
    """The body is not an inference request that this model can be asked; `str(error)` says why."""
