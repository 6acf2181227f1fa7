"""Processes the files of a command line one by one or several at once; one bad file does not stop the others."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from framewise.cli.files import InputFile
from framewise.cli.ordered import in_order
from framewise.cli.terminal import ExitStatus, JobNotDone
from framewise.client import ProblemError, ServiceUnreachable

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a file has no result; `status` and `request_id` are those of the service's response, if there is one."""

    code: str
    detail: str
    exit_status: ExitStatus
    status: int | None = None
    request_id: str | None = None

    @property
    def message(self) -> str:
        """The detail, with status and code if the service refused the request."""
        return self.detail if self.status is None else f"{self.detail} ({self.status} {self.code})"

    def to_dict(self) -> dict[str, Any]:
        """The failure for JSON, with the names of a problem of the service."""
        return {"status": self.status, "code": self.code, "detail": self.detail, "request_id": self.request_id}


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_Value]):
    """The result of one file, or its failure."""

    file: InputFile
    value: _Value | None = None
    failure: Failure | None = None


def each_outcome(
    files: list[InputFile], work: Callable[[InputFile], _Value], num_threads: int
) -> Iterator[Outcome[_Value]]:
    """The outcome of every file, in order. After the service refused a connection, no further file is sent."""
    refused: list[Failure] = []
    lock = threading.Lock()

    def process(file: InputFile) -> Outcome[_Value]:
        with lock:
            if refused:
                return Outcome(file, failure=refused[0])
        try:
            return Outcome(file, work(file))
        except ServiceUnreachable as error:
            failure = Failure("service_unreachable", str(error), ExitStatus.UNREACHABLE)
            if isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
                with lock:
                    refused.append(failure)
        except ProblemError as error:
            failure = Failure(error.code, error.detail, ExitStatus.REFUSED, error.status, error.request_id or None)
        except JobNotDone as error:
            failure = Failure("job_cancelled", str(error), ExitStatus.REFUSED)
        except TimeoutError as error:
            failure = Failure("timeout", str(error), ExitStatus.REFUSED)
        except OSError as error:
            failure = Failure("file_unreadable", error.strerror or str(error), ExitStatus.REFUSED)
        return Outcome(file, failure=failure)

    yield from in_order(process, files, num_threads)
