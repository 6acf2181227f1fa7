"""`python -m model_training COMMAND`: parses the command line and runs the command."""

import argparse
import signal
import sys
from collections.abc import Sequence

from model_training.commands.arguments import argument_parser, evaluation_data_of, protocol_of, train_options_of

if __name__ == "__main__":
    # The imports below take a second. Ctrl-C ends the process without a traceback until `main` runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from model_training.commands.compare import compare
from model_training.commands.cross_validate import cross_validate
from model_training.commands.evaluate import OutputPaths, evaluate
from model_training.commands.synthesise import synthesise, synthesise_sample
from model_training.commands.train import train
from model_training.commands.validate_data import validate_data
from model_training.commands.verify import verify, write_card
from model_training.errors import TrainingError, TrainingInterrupted

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
_RESUMABLE = frozenset(["train", "compare", "cross-validate", "validate-data"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; an error is printed as one line on standard error."""
    given = argument_parser().parse_args(arguments)
    try:
        _run(given)
    except TrainingInterrupted as interruption:
        sys.stderr.write(f"{interruption}\n")
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        resumes = "finished work is saved; the same command continues from it"
        restarts = "the same command starts again"
        sys.stderr.write(f"interrupted: {resumes if given.command in _RESUMABLE else restarts}\n")
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
            train(train_options_of(given))
        case "compare":
            compare(protocol_of(given), given.json)
        case "cross-validate":
            cross_validate(protocol_of(given), given.out, given.against)
        case "evaluate":
            outputs = OutputPaths(metrics=given.json, predictions=given.predictions, report=given.html)
            evaluate(given.model, evaluation_data_of(given), outputs, given.over_http)
        case "verify":
            verify(given.model, given.data, given.tolerance)
        case "card":
            write_card(given.model, given.data)
        case "validate-data":
            validate_data(given.data, given.config, given.runs, given.json)
        case "synthesise" if given.sample is not None:
            synthesise_sample(given.sample, given.label, given.seed, force=given.force)
        case "synthesise":
            synthesise(given.out, given.num_videos, given.seed, force=given.force)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
