"""`python -m service.batch IN OUT`: classify every video of a folder or bucket, and write one row per file.

The command builds the service from the same `SERVICE_` settings and calls it without HTTP, so a file gets the same
prediction, or the same problem, as a request would. The limits of jobs apply. `service.batch.inputs` describes IN,
`service.batch.outputs` describes OUT.

Exit status:
    0  every file has a prediction
    1  some files have a problem, which is written to their rows
    2  the command line is wrong, IN has no files, or OUT cannot be written or holds another batch
    3  the model cannot be loaded
  130  interrupted; the same command continues the batch
"""

import argparse
import asyncio
import signal
import sys
from typing import get_args

from service.batch.batch import STANDARD_ERROR
from service.batch.inputs import Shard
from service.batch.outputs import BatchMismatch, Format
from service.batch.run import ExitStatus, NoModel, run_batch
from service.environment import InvalidSettings
from service.inference.errors import UnknownModel
from service.standard_streams import open_standard_streams
from service.telemetry.logs import set_up_logging


def main(arguments: list[str] | None = None) -> int:
    """Run the batch and return the exit status. SIGINT and SIGTERM stop it after the finished rows are written."""
    open_standard_streams()
    parsed = argument_parser().parse_args(arguments)
    set_up_logging("warning")

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None
        for sig in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sig, task.cancel)
        return await run_batch(parsed)

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        return ExitStatus.INTERRUPTED
    except NoModel as error:
        STANDARD_ERROR.print(f"No model: {error}", style="red", markup=False, soft_wrap=True)
        return ExitStatus.NO_MODEL
    except (BatchMismatch, InvalidSettings, UnknownModel, OSError, ValueError) as error:
        STANDARD_ERROR.print(str(error), style="red", markup=False, soft_wrap=True)
        return ExitStatus.USAGE


def argument_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m service.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="IN", help="a video or a folder of videos: a path, or a URL such as s3://...")
    parser.add_argument("target", metavar="OUT", help="the folder to write to: a path or a URL")
    parser.add_argument("--format", choices=get_args(Format), default="jsonl", help="default: jsonl")
    parser.add_argument("--model", help="default: the default model")
    parser.add_argument("--version", help="default: the latest version of the model")
    parser.add_argument("--top-k", type=int, help="list only the k most probable labels")
    parser.add_argument("--frames", choices=["all", "top", "none"], default="all", help="which frames to list")
    parser.add_argument(
        "--shard", type=Shard.parse, default=Shard(1, 1), metavar="N/M", help="only the Nth of M parts of the files"
    )
    parser.add_argument(
        "--retry-problems", action="store_true", help="classify files again that have a problem instead of a prediction"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
