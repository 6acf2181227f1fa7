"""Settings of decoding: the limits of one video and the decode workers."""

from pydantic import BaseModel, ConfigDict, Field

from service.cores import num_cores
from service.video.clip import DecodeLimits
from service.video.sandbox.protocol import WorkerLimits


class SandboxSettings(BaseModel):
    """Settings of decoding: the limits of one video and the decode workers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_pixels_per_frame: int = Field(default=3840 * 2160, ge=64, description="Most pixels of one frame.")
    max_duration_seconds: float = Field(default=600, gt=0, description="Longest video accepted.")
    max_packets: int = Field(default=200_000, ge=1, description="Most video packets of one file.")
    decode_children: int = Field(
        default_factory=lambda: max(2, num_cores()),
        ge=1,
        le=256,
        description="Decode workers: processes that decode one video each.",
    )
    decode_threads: int = Field(
        default_factory=num_cores,
        ge=1,
        le=64,
        description=(
            "Threads for decoding; a single video uses all, concurrent videos share them. One thread is used where more"
            " could change the pixels of a damaged video (docs/video-formats.md)."
        ),
    )
    decode_memory_bytes: int = Field(default=2 << 30, ge=512 << 20, description="Address space of each decode worker.")
    decode_cpu_seconds: float = Field(default=60, gt=0, description="Processor time for decoding one video.")
    decode_stall_seconds: float = Field(
        default=20,
        gt=0,
        description=(
            "Time for which a decode worker may neither respond nor use the processor. Then it is killed, and another "
            "one decodes the video. On Linux only."
        ),
    )
    decode_videos_per_child: int = Field(
        default=500, ge=1, description="Videos that a decode worker decodes before it is replaced."
    )

    @property
    def decode_limits(self) -> DecodeLimits:
        """The limits of one video."""
        return DecodeLimits(
            max_pixels_per_frame=self.max_pixels_per_frame,
            max_duration_seconds=self.max_duration_seconds,
            max_packets=self.max_packets,
        )

    @property
    def worker_limits(self) -> WorkerLimits:
        """The limits of one decode worker."""
        return WorkerLimits(max_memory_bytes=self.decode_memory_bytes, max_cpu_seconds=self.decode_cpu_seconds)
