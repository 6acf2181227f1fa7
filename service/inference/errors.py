"""Errors of model loading and inference."""


class InferenceError(Exception):
    """A model cannot be served, changed or run."""


class UnknownModel(InferenceError):
    """No ready model has the requested name and version."""


class InvalidModel(InferenceError):
    """The model directory must not be served: it is unreadable, altered, or its outputs differ from the export."""


class LastVersion(InferenceError):
    """The default model's only version cannot be unloaded."""


class TooManyModels(InferenceError):
    """The maximum number of models is loaded already."""


class BatcherClosed(InferenceError):
    """The batcher accepts no new clips: the service is draining or the model is unloaded."""


class QueueFull(InferenceError):
    """The queue of clips is full."""


class ModelFailed(InferenceError):
    """The model raised an error, or its output is invalid."""
