"""Everything that can go wrong between clips and probabilities, as facts."""


class InferenceError(Exception):
    """The model could not answer."""


class UnknownModel(InferenceError):
    """No ready model has that name and version."""


class InvalidModel(InferenceError):
    """A model directory that must not be served: unreadable, altered, or giving other answers."""


class LastVersion(InferenceError):
    """Without this version the default model could not be asked any more."""


class TooManyModels(InferenceError):
    """As many models are loaded as may be."""


class BatcherClosed(InferenceError):
    """The batcher takes no more work: the service is draining."""


class QueueFull(InferenceError):
    """Every place in the queue is taken."""


class ModelFailed(InferenceError):
    """The model raised, or answered with something that is not an answer."""
