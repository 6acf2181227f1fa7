"""The containers and codecs that this machine's FFmpeg can read, probed once at start in a separate process."""

from asyncio.subprocess import DEVNULL

from pydantic import BaseModel, ConfigDict

from service.programs import start_program
from service.video.sandbox.error_output import last_line


class ProbedFormats(BaseModel):
    """Allowed containers and codecs that FFmpeg can read on this machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    containers: frozenset[str] = frozenset()
    codecs: frozenset[str] = frozenset()


class Formats:
    """The probed formats; empty until `probe` has run."""

    def __init__(self) -> None:
        self.probed = ProbedFormats()

    async def probe(self) -> None:
        """Run `service.video.sandbox.probe` and store its result.

        Raises:
            OSError: the probe did not start, or it failed.
        """
        process = await start_program("-m", "service.video.sandbox.probe", stdin=DEVNULL)
        output, error_output = await process.communicate()
        if process.returncode:
            raise OSError(
                f"the decoder does not work on this machine: the probe ended with status {process.returncode}: "
                f"{last_line(error_output)}"
            )
        self.probed = ProbedFormats.model_validate_json(output)
