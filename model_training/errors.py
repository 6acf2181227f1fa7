"""What can be wrong with a training run, as facts that `main` turns into one line each."""


class TrainingError(Exception):
    """The command cannot go on; `str(error)` is one sentence for the person who ran it."""


class TrainingDataError(TrainingError):
    """A dataset, a video in it, or its manifest cannot be used."""


class InvalidConfig(TrainingError):
    """A config file that is missing, broken or asks for the impossible."""


class MissingPackage(TrainingError):
    """A package that training needs is not installed; the message holds the command that does it."""


class TrainingInterrupted(TrainingError):
    """Ctrl-C: everything done so far is saved, and the same command goes on from there."""


class CardDiffers(TrainingError):
    """A model card states what cannot be measured again; the message lists each figure."""
