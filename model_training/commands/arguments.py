"""Command-line options of `python -m model_training`."""

import argparse
from pathlib import Path
from typing import get_args

from model_training.commands.evaluate import STANDARD_OUTPUT, EvaluationData
from model_training.commands.protocol import Protocol
from model_training.commands.train_options import TrainOptions
from model_training.config import Architecture, BackboneName
from model_training.export.verify import TOLERANCE
from model_training.synthetic.scenes import EVENT_LABELS

_MAX_VERSION_DIGITS = 9
_DATA_HELP = "folder with manifest.csv, or with one subfolder per label"
_SKIP_HELP = "leave out videos that cannot be read"


def argument_parser() -> argparse.ArgumentParser:
    """The parser of all commands and their options."""
    parser = argparse.ArgumentParser("model_training", description="Train, evaluate and export video classifiers.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    _add_train(subparsers.add_parser("train", help="train a config and export the model"))
    _add_compare(subparsers.add_parser("compare", help="cross-validate the three architectures and recommend one"))
    _add_cross_validate(
        subparsers.add_parser("cross-validate", help="predict each video with a network not trained on its fold")
    )
    _add_evaluate(subparsers.add_parser("evaluate", help="measure an exported model on labelled videos"))
    _add_verify(
        subparsers.add_parser("verify", help="measure the metrics of a model's card again; fails if one differs")
    )
    _add_card(subparsers.add_parser("card", help="measure a model again and write its card and manifest"))
    _add_validate_data(subparsers.add_parser("validate-data", help="decode a dataset and report its problems"))
    _add_synthesise(subparsers.add_parser("synthesise", help="render labelled videos of painted events"))
    return parser


def _add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, help="a Python file that sets CONFIG")
    command.add_argument("--data", type=Path, required=True, help=_DATA_HELP)
    command.add_argument("--out", type=Path, default=Path("models"), help="models directory (default: models)")
    command.add_argument("--version", type=_version, help="version number (default: the next one)")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="clip cache and checkpoints (default: runs)")
    command.add_argument("--skip-unreadable", action="store_true", help=_SKIP_HELP)
    command.add_argument(
        "--cross-validation",
        type=Path,
        metavar="FILE",
        help="show the metrics of this record of `cross-validate` on the card",
    )
    _add_allow_leakage(command)


def _add_compare(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", type=Path, help="also write the comparison to this file")
    command.set_defaults(architecture=None, backbone=None)
    _add_protocol(command)


def _add_cross_validate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--out", type=Path, required=True, help="JSON file for the predictions and their metrics")
    command.add_argument(
        "--against", type=Path, metavar="FILE", help="compare the accuracy with the record FILE, video by video"
    )
    command.add_argument("--architecture", "--family", choices=get_args(Architecture), help="default: the config's own")
    command.add_argument("--backbone", choices=get_args(BackboneName), help="default: the config's own")
    _add_protocol(command)


def _add_evaluate(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", type=Path, required=True, help="directory of one version")
    command.add_argument("--data", type=Path, required=True, help=_DATA_HELP)
    command.add_argument("--folds", type=int, nargs="+", default=[], help="use only these folds of the manifest")
    command.add_argument("--skip-unreadable", action="store_true", help=_SKIP_HELP)
    command.add_argument("--predictions", type=Path, help="write the prediction of each video to this JSON file")
    command.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=STANDARD_OUTPUT,
        help="write the metrics to this JSON file; without a file, to standard output instead of the table",
    )
    command.add_argument("--html", type=Path, help="write a report with plots to this file")
    command.add_argument(
        "--training-data",
        type=Path,
        metavar="DIR",
        help="the data that the model was trained on, to fit the baselines (default: the directory of --data)",
    )
    command.add_argument("--runs", type=Path, default=Path("runs"), help="clip cache (default: runs)")
    command.add_argument(
        "--over-http", metavar="URL", help="predict through the service at URL, which must serve the same model"
    )


def _add_verify(command: argparse.ArgumentParser) -> None:
    _add_card(command)
    command.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"default: {TOLERANCE}")


def _add_card(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", type=Path, required=True, help="directory of one version")
    command.add_argument("--data", type=Path, required=True, help="the data that the model was trained on")


def _add_validate_data(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, required=True, help="folder, or annotation file")
    command.add_argument("--config", type=Path, help="decode as this config does, and check its held-out fold")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="clip cache (default: runs)")
    command.add_argument("--json", type=Path, help="write the full report to this file")


def _add_synthesise(command: argparse.ArgumentParser) -> None:
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder for a dataset")
    target.add_argument("--sample", type=Path, help="file for a single video")
    command.add_argument("--num-videos", type=_positive, default=100)
    command.add_argument("--label", choices=EVENT_LABELS, default=EVENT_LABELS[0], help="label of the single video")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--force", action="store_true", help="replace what is there already")


def _add_protocol(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, help="a Python file that sets CONFIG")
    command.add_argument("--data", type=Path, required=True, help="folder with a manifest that has a column fold")
    command.add_argument("--folds", type=int, nargs="+", default=[], help="hold out only these folds, one at a time")
    command.add_argument("--seeds", type=_positive, default=1, metavar="N", help="train with N seeds (default: 1)")
    command.add_argument("--epochs", type=_positive, metavar="N", help="limit each stage to N epochs")
    command.add_argument("--frozen-only", action="store_true", help="omit stages that train the backbone")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="clip cache and predictions (default: runs)")
    command.add_argument("--skip-unreadable", action="store_true", help=_SKIP_HELP)
    _add_allow_leakage(command)


def _add_allow_leakage(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow-leakage",
        action="store_true",
        help="train even if a held-out fold shares groups or footage with the training videos",
    )


def protocol_of(given: argparse.Namespace) -> Protocol:
    """The protocol from the arguments of `compare` or `cross-validate`."""
    return Protocol(
        config=given.config,
        data=given.data,
        runs=given.runs,
        folds=tuple(given.folds),
        num_seeds=given.seeds,
        max_epochs=given.epochs,
        is_frozen_only=given.frozen_only,
        skip_unreadable=given.skip_unreadable,
        allow_leakage=given.allow_leakage,
        architecture=given.architecture,
        backbone=given.backbone,
    )


def train_options_of(given: argparse.Namespace) -> TrainOptions:
    """The options from the arguments of `train`."""
    return TrainOptions(
        config=given.config,
        data=given.data,
        models=given.out,
        runs=given.runs,
        version=given.version,
        cross_validation=given.cross_validation,
        skip_unreadable=given.skip_unreadable,
        allow_leakage=given.allow_leakage,
    )


def evaluation_data_of(given: argparse.Namespace) -> EvaluationData:
    """The videos from the arguments of `evaluate`."""
    return EvaluationData(
        data=given.data,
        folds=tuple(given.folds),
        training_data=given.training_data or given.data,
        cache=given.runs / "cache",
        skip_unreadable=given.skip_unreadable,
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _version(text: str) -> str:
    if not (text.isdigit() and text.isascii() and len(text) <= _MAX_VERSION_DIGITS):
        raise argparse.ArgumentTypeError("a version is a whole number")
    return text
