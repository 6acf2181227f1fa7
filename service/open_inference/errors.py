"""Errors of the Open Inference Protocol."""


class MalformedInference(Exception):
    """The body is not a valid inference request for this model; `str(error)` is the reason, safe to show."""
