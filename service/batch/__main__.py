"""`python -m service.batch IN OUT`: look at every video of a folder or bucket, and write down what they show.

The service itself does it, without its HTTP: built by `service.app` from the same `SERVICE_` settings, so a
video gets the answer, or the problem, that a request would have got. Limits are those of jobs. What is
written is told in `service.batch.outputs`, what is read in `service.batch.inputs`.

Exit status:
    0  every file was answered
    1  some have a problem, which is written beside their names
    2  the command line is wrong, IN has no files, OUT cannot be written or holds another batch
    3  the model cannot be loaded
  130  interrupted; the same command goes on where this one stopped
"""

import argparse
import asyncio
import signal
import sys
from typing import get_args

from service.batch.inputs import Shard
from service.batch.outputs import Format, OtherBatch
from service.batch.run import STANDARD_ERROR, ExitStatus, NoModel, run_batch
from service.inference.errors import UnknownModel
from service.telemetry.logs import set_up_logging


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says, and stop in good order when told to."""
    told = command_line().parse_args(arguments)
    set_up_logging("warning")

    async def run() -> int:
        task = asyncio.current_task()
        assert task is not None
        for sig in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(sig, task.cancel)
        return await run_batch(told)

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        return ExitStatus.INTERRUPTED
    except NoModel as error:
        STANDARD_ERROR.print(f"No model: {error}", style="red", markup=False, soft_wrap=True)
        return ExitStatus.NO_MODEL
    except (OtherBatch, UnknownModel, OSError, ValueError) as error:
        STANDARD_ERROR.print(str(error), style="red", markup=False, soft_wrap=True)
        return ExitStatus.USAGE


def command_line() -> argparse.ArgumentParser:
    """What the command line may say."""
    parser = argparse.ArgumentParser(
        prog="python -m service.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", metavar="IN", help="a video, or a folder of them: a path, or a URL such as s3://...")
    parser.add_argument("target", metavar="OUT", help="the folder to write to, likewise")
    parser.add_argument("--format", choices=get_args(Format), default="jsonl", help="default: jsonl")
    parser.add_argument("--model", help="default: the default model")
    parser.add_argument("--version", help="default: its latest")
    parser.add_argument("--top-k", type=int, help="only the k likeliest labels")
    parser.add_argument("--frames", choices=["all", "top", "none"], default="all", help="which frames to list")
    parser.add_argument(
        "--shard", type=Shard.parse, default=Shard(1, 1), metavar="N/M", help="only the Nth of M parts of the files"
    )
    parser.add_argument(
        "--retry-problems", action="store_true", help="look again at files that have a problem instead of an answer"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
