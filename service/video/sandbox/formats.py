"""What this machine's FFmpeg can read, asked once at start. Knows no decoder itself: a child is asked."""

import asyncio
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

import service
from service.video.sandbox.error_output import last_line


class ProbedFormats(BaseModel):
    """The allowed containers and codecs that can really be read here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    containers: frozenset[str] = frozenset()
    codecs: frozenset[str] = frozenset()


class Formats:
    """The probed formats: none until `probe` has run."""

    def __init__(self) -> None:
        self.probed = ProbedFormats()

    async def probe(self) -> None:
        """Ask a child of the kind that decodes.

        Raises:
            OSError: it could not be started, or came to no answer.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service.video.sandbox.probe"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": str(Path(service.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        answer, error_output = await process.communicate()
        if process.returncode:
            raise OSError(
                f"no decoder works here: the probe ended with status {process.returncode}: {last_line(error_output)}"
            )
        self.probed = ProbedFormats.model_validate_json(answer)
