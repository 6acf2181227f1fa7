"""The command line of a batch: options, shards and exit status. Imports none of the extra `batch`."""

import argparse
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, TypeVar, get_args

Format = Literal["jsonl", "parquet"]

_Value = TypeVar("_Value")


class ExitStatus(IntEnum):
    """Exit status of the command."""

    ALL_CLASSIFIED = 0
    SOME_PROBLEMS = 1
    USAGE = 2
    NO_MODEL = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Shard:
    """Part `number`, counted from 1, of `count` parts of the input. The part of a file depends on its name only."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The shard that `text` describes: `3/8` is the third of eight. Raises ValueError for any other format."""
        number, count = (int(part) for part in text.split("/"))
        if not 1 <= number <= count:
            raise ValueError("a shard is between 1/N and N/N")
        return cls(number, count)

    def includes(self, name: str) -> bool:
        """Whether the shard includes the file; exactly one of the `count` shards does."""
        return int.from_bytes(hashlib.sha256(name.encode(errors="surrogateescape")).digest()[:8]) % self.count == (
            self.number - 1
        )


def argument_parser(description: str | None = None) -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m service.batch", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="IN", help="a video or a folder of videos: a path, or a URL such as s3://...")
    parser.add_argument("target", metavar="OUT", help="the folder to write to: a path or a URL")
    parser.add_argument("--format", choices=get_args(Format), default="jsonl", help="default: jsonl")
    parser.add_argument("--model", help="default: the default model")
    parser.add_argument("--version", help="default: the latest version of the model")
    parser.add_argument("--top-k", type=_number_of_labels, help="list only the k most probable labels")
    parser.add_argument(
        "--threshold", type=_probability, help="minimum probability of an accepted label; default: the model's own"
    )
    parser.add_argument("--frames", choices=["all", "top", "none"], default="all", help="which frames to list")
    parser.add_argument(
        "--include",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only files whose name or path below IN matches, such as '*.mp4', in any case; can be repeated."
        " Default: all files but notes, pictures and sounds, and never hidden ones",
    )
    parser.add_argument(
        "--shard", type=_shard, default=Shard(1, 1), metavar="N/M", help="only the Nth of M parts of the files"
    )
    parser.add_argument(
        "--retry-problems", action="store_true", help="classify files again that have a problem instead of a prediction"
    )
    return parser


def _shard(text: str) -> Shard:
    return _parsed(Shard.parse, text, "must be N/M with N from 1 to M, such as 3/8")


def _number_of_labels(text: str) -> int:
    number = _parsed(int, text, "must be a whole number from 1 to 1000")
    if not 1 <= number <= 1000:  # noqa: PLR2004 - as in `PredictQuery`
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 1000")
    return number


def _probability(text: str) -> float:
    probability = _parsed(float, text, "must be a number from 0 to 1")
    if not 0 <= probability <= 1:
        raise argparse.ArgumentTypeError("must be a number from 0 to 1")
    return probability


def _parsed(parse: Callable[[str], _Value], text: str, requirement: str) -> _Value:
    try:
        return parse(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} {requirement}") from None
