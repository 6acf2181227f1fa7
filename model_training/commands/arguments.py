"""The command line of `python -m model_training`."""

import argparse
from pathlib import Path
from typing import get_args

from model_training.commands.evaluate import STANDARD_OUTPUT
from model_training.commands.protocol import Protocol
from model_training.config import Architecture, BackboneName
from model_training.export.verify import TOLERANCE
from model_training.synthetic.scenes import EVENT_LABELS

_MAX_VERSION_DIGITS = 9


def argument_parser() -> argparse.ArgumentParser:
    """The command line of `python -m model_training`."""
    parser = argparse.ArgumentParser("model_training", description="Train, measure and export video classifiers.")
    subparsers = parser.add_subparsers(dest="command", required=True)

    train = subparsers.add_parser("train", help="train what a config says, and export it")
    train.add_argument("--config", type=Path, required=True, help="a Python file that sets CONFIG")
    train.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, or a folder per label")
    train.add_argument("--out", type=Path, default=Path("models"), help="where models go (default: models)")
    train.add_argument("--version", type=_version, help="version number (default: the next one)")
    train.add_argument("--runs", type=Path, default=Path("runs"), help="cache and checkpoints (default: runs)")
    train.add_argument("--skip-unreadable", action="store_true", help="leave out videos that cannot be read")
    train.add_argument(
        "--cross-validation", type=Path, metavar="FILE", help="put the figures of this `cross-validate` on the card"
    )
    _add_allow_leakage(train)

    compare = subparsers.add_parser("compare", help="say which of the three families of networks to use")
    compare.add_argument("--json", type=Path, help="write the comparison to this file too")
    cross_validate = subparsers.add_parser("cross-validate", help="answer every video by networks that never saw it")
    cross_validate.add_argument("--out", type=Path, required=True, help="JSON file for the answers")
    cross_validate.add_argument(
        "--against", type=Path, metavar="FILE", help="say which is right more often: this config, or the one of FILE"
    )
    cross_validate.add_argument(
        "--architecture", "--family", choices=get_args(Architecture), help="default: the config's own"
    )
    cross_validate.add_argument("--backbone", choices=get_args(BackboneName), help="default: the config's own")
    compare.set_defaults(architecture=None, backbone=None)
    for command in (compare, cross_validate):
        _add_protocol(command)

    evaluate = subparsers.add_parser("evaluate", help="measure an exported model")
    evaluate.add_argument("--model", type=Path, required=True, help="directory of one version")
    evaluate.add_argument("--data", type=Path, required=True, help="folder with manifest.csv, or a folder per label")
    evaluate.add_argument("--folds", type=int, nargs="+", default=[], help="only these folds of the manifest")
    evaluate.add_argument("--skip-unreadable", action="store_true", help="leave out videos that cannot be read")
    evaluate.add_argument("--predictions", type=Path, help="write every video's answer to this JSON file")
    evaluate.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=STANDARD_OUTPUT,
        help="write the figures to this JSON file, or, without one, to standard output alone",
    )
    evaluate.add_argument("--html", type=Path, help="write a report with plots to this file")
    evaluate.add_argument(
        "--training-data",
        type=Path,
        metavar="DIR",
        help="the data that the model was trained on, to teach the baselines (default: that of --data)",
    )
    evaluate.add_argument("--runs", type=Path, default=Path("runs"), help="where decoded clips go (default: runs)")
    evaluate.add_argument("--over-http", metavar="URL", help="ask the service there, which must hold the same model")

    for name, sentence in (
        ("verify", "measure everything that a model's card states again, and fail if a figure differs"),
        ("card", "measure a model anew and write its card and manifest; its weights stay"),
    ):
        command = subparsers.add_parser(name, help=sentence)
        command.add_argument("--model", type=Path, required=True, help="directory of one version")
        command.add_argument("--data", type=Path, required=True, help="the data that it was trained on")
        if name == "verify":
            command.add_argument("--tolerance", type=float, default=TOLERANCE, help=f"default: {TOLERANCE}")

    validate = subparsers.add_parser("validate-data", help="decode a dataset once, and say what is wrong with it")
    validate.add_argument("--data", type=Path, required=True, help="folder, or file of annotations")
    validate.add_argument("--config", type=Path, help="decode as this config does, and check its held-out fold")
    validate.add_argument("--runs", type=Path, default=Path("runs"), help="where decoded clips go (default: runs)")
    validate.add_argument("--json", type=Path, help="write all that was found to this file")

    synthesise = subparsers.add_parser("synthesise", help="render labelled videos of painted events")
    target = synthesise.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder of a whole dataset")
    target.add_argument("--sample", type=Path, help="file of a single video")
    synthesise.add_argument("--num-videos", type=_positive, default=100)
    synthesise.add_argument("--label", choices=EVENT_LABELS, default=EVENT_LABELS[0], help="of the single video")
    synthesise.add_argument("--seed", type=int, default=0)
    return parser


def _add_protocol(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, required=True, help="a Python file that sets CONFIG")
    command.add_argument("--data", type=Path, required=True, help="folder with a manifest that names folds")
    command.add_argument("--folds", type=int, nargs="+", default=[], help="hold out only these folds, one at a time")
    command.add_argument("--seeds", type=_positive, default=1, metavar="N", help="train so many times (default: 1)")
    command.add_argument("--epochs", type=_positive, help="at most so many in each stage")
    command.add_argument("--frozen-only", action="store_true", help="leave out stages that train the backbone")
    command.add_argument("--runs", type=Path, default=Path("runs"), help="cache and answers (default: runs)")
    command.add_argument("--skip-unreadable", action="store_true", help="leave out videos that cannot be read")
    _add_allow_leakage(command)


def _add_allow_leakage(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--allow-leakage", action="store_true", help="train even where a held-out fold shares footage with the rest"
    )


def protocol_of(given: argparse.Namespace) -> Protocol:
    """The protocol that the arguments of `compare` or `cross-validate` describe."""
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


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def _version(text: str) -> str:
    if not (text.isdigit() and text.isascii() and len(text) <= _MAX_VERSION_DIGITS):
        raise argparse.ArgumentTypeError("a version is a whole number")
    return text
