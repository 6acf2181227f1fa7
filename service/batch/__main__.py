"""`python -m service.batch IN OUT`: classify every video of a folder or bucket, and write one row per file.

The command builds the service from the same `SERVICE_` settings and calls it without HTTP, so a file gets the same
prediction, or the same problem, as a request would. The limits of jobs apply. `service.batch.inputs` describes IN,
`service.batch.outputs` describes OUT.

Exit status:
    0  every file has a prediction
    1  some files have a problem, which is written to their rows
    2  the command line or a setting is wrong, the extra `batch` is missing, IN has no files, or OUT cannot be written
       or holds another batch
    3  the model cannot be loaded
  130  interrupted; the same command continues the batch
"""

import sys

from service.batch.options import ExitStatus, argument_parser
from service.standard_streams import open_standard_streams

_EXTRA = ("fsspec", "pyarrow", "rich")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    open_standard_streams()
    parsed = argument_parser(__doc__).parse_args(arguments)
    try:
        from service.batch.run import run_command  # noqa: PLC0415 - `--help` works without the extra
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.stderr.write(f"service.batch needs {package}: pip install 'framewise-server[batch]'\n")
        return ExitStatus.USAGE
    return run_command(parsed)


if __name__ == "__main__":
    sys.exit(main())
