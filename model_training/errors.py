"""Errors of the training commands; `main` prints each as one line."""


class TrainingError(Exception):
    """The command cannot continue; `str(error)` is one sentence for the user."""


class TrainingDataError(TrainingError):
    """A dataset, one of its videos, or its manifest cannot be used."""


class InvalidConfig(TrainingError):
    """A config file is missing, cannot be run, or has invalid options."""


class MissingPackage(TrainingError):
    """A package that training needs is not installed; the message contains the install command."""


class TrainingInterrupted(TrainingError):
    """Ctrl-C was pressed. Finished work is saved, and the same command continues from it."""


class CardDiffers(TrainingError):
    """Metrics in a model card differ from the measured ones; the message lists them."""
