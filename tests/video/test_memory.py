"""Memory does not grow with the length of a video."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.videos import encode, moving

pytestmark = pytest.mark.slow

PROGRAM = """
import resource, sys
from pathlib import Path
from service.video.clip import ClipSpec, DecodeLimits
from service.video.decode import open_video

spec = ClipSpec(num_frames=16, height=112, width=112, frames_per_second=8, stride_seconds=2)
with open_video(Path(sys.argv[1]), DecodeLimits(max_duration_seconds=7200)) as video:
    num_clips = sum(1 for _ in video.clips(spec, video.plan(spec)))
print(num_clips, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def clips_and_peak_kib(path: Path) -> tuple[int, int]:
    """Decode in a separate process: number of clips, and peak memory in KiB."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(path)], capture_output=True, check=True, text=True)
    num_clips, peak = done.stdout.split()
    return int(num_clips), int(peak)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_memory_does_not_grow_with_the_length_of_the_video(tmp_path: Path) -> None:
    pictures = moving(40, 160, 120)
    options = {"qp": "34", "g": "40"}
    num_short, short_kib = clips_and_peak_kib(encode(tmp_path / "short.mp4", pictures * 2, options=options))
    num_long, long_kib = clips_and_peak_kib(encode(tmp_path / "long.mp4", pictures * 60, options=options))
    assert num_long >= 25 * num_short
    # 150 clips are 90 MB of pixels. Only timestamps, and packets up to 16 MiB, stay in memory.
    assert long_kib - short_kib < 32 * 1024
