"""`python -m model_training COMMAND`: what each command does is in the module it calls."""

import argparse
import signal
import sys
from collections.abc import Sequence

from model_training.commands.arguments import argument_parser, protocol_of

if __name__ == "__main__":
    # What follows takes a second, in which there is nothing to be said of an end and nothing to be lost.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from model_training.commands.compare import compare
from model_training.commands.cross_validate import cross_validate
from model_training.commands.evaluate import EvaluationData, OutputPaths, evaluate
from model_training.commands.synthesise import synthesise, synthesise_sample
from model_training.commands.train import train
from model_training.commands.validate_data import validate_data
from model_training.commands.verify import verify, write_card
from model_training.errors import TrainingError, TrainingInterrupted

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
_GOES_ON = frozenset(["train", "compare", "cross-validate", "validate-data"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever is wrong becomes one line on standard error and an exit code."""
    given = argument_parser().parse_args(arguments)
    try:
        _run(given)
    except TrainingInterrupted as interruption:
        sys.stderr.write(f"{interruption}\n")
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        goes_on = "what was done so far is kept; the same command goes on from it"
        sys.stderr.write(f"interrupted: {goes_on if given.command in _GOES_ON else 'the same command begins anew'}\n")
        return EXIT_INTERRUPTED
    except TrainingError as error:
        sys.stderr.write(f"error: {error}\n")
        return EXIT_BAD_INPUT
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or 'disk'}: {error.strerror or error}\n")
        return EXIT_BAD_INPUT
    return 0


def _run(given: argparse.Namespace) -> None:
    match given.command:
        case "train":
            train(
                given.config,
                given.data,
                given.out,
                given.version,
                given.runs,
                cross_validation_path=given.cross_validation,
                skip_unreadable=given.skip_unreadable,
                allow_leakage=given.allow_leakage,
            )
        case "compare":
            compare(protocol_of(given), given.json)
        case "cross-validate":
            cross_validate(protocol_of(given), given.out, given.against)
        case "evaluate":
            outputs = OutputPaths(given.json, given.predictions, given.html)
            taught = given.training_data or given.data
            asked = EvaluationData(
                given.data, tuple(given.folds), taught, given.runs / "cache", skip_unreadable=given.skip_unreadable
            )
            evaluate(given.model, asked, outputs, given.over_http)
        case "verify":
            verify(given.model, given.data, given.tolerance)
        case "card":
            write_card(given.model, given.data)
        case "validate-data":
            validate_data(given.data, given.config, given.runs, given.json)
        case "synthesise" if given.sample is not None:
            synthesise_sample(given.sample, given.label, given.seed)
        case "synthesise":
            synthesise(given.out, given.num_videos, given.seed)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
