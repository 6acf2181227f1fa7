"""Property: any bytes give complete clips in order or a `VideoError`, the same with any number of threads.

    python -m fuzz.decode --seconds 20 [--seed 0]

With atheris installed, coverage guides the mutations. Otherwise a seeded loop mutates generated videos, and a failure
prints the seed and the number that reproduce it. Decoding runs in this process: a crash ends it, and the last input is
in the file whose path is printed at the start.
"""

import argparse
import importlib
import importlib.util
import os
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from service.video.clip import Clip, ClipSpec, DecodeLimits
from service.video.decode import open_video
from service.video.errors import VideoError
from tests.support.recordings import (
    B_FRAMES,
    CROP_LEFT,
    CROP_RIGHT,
    SAMPLE_ENTRY,
    appended,
    begun_at_second_keyframe,
    clean_aperture,
    dahua,
    matroska,
    program_stream,
    remuxed,
    with_box,
    with_equal_times,
    with_presentation_as_decoding,
)
from tests.support.videos import encode, moving

SPEC = ClipSpec(num_frames=4, height=16, width=16, frames_per_second=4, stride_seconds=1)
LIMITS = DecodeLimits(max_pixels_per_frame=256 * 256, max_duration_seconds=30, max_packets=500)
SEEDS = (
    *(("mp4", "libx264", "yuv420p"), ("mkv", "libx264", "yuv420p"), ("ts", "libx264", "yuv420p")),
    *(("avi", "mpeg4", "yuv420p"), ("flv", "libx264", "yuv420p"), ("webm", "libvpx", "yuv420p")),
    *(("webm", "libvpx-vp9", "yuv420p"), ("mp4", "libx265", "yuv420p"), ("mpg", "mpeg2video", "yuv420p")),
    *(("mp4", "libsvtav1", "yuv420p"), ("h264", "libx264", "yuv420p"), ("hevc", "libx265", "yuv420p")),
    *(("gif", "gif", "rgb8"), ("apng", "apng", "rgb24"), ("avif", "libsvtav1", "yuv420p")),
    *(("y4m", "rawvideo", "yuv420p"), ("mxf", "mpeg2video", "yuv420p"), ("ivf", "libvpx-vp9", "yuv420p")),
    *(("nut", "ffv1", "yuv420p"), ("avi", "rawvideo", "bgr24"), ("avi", "huffyuv", "yuv422p")),
    *(("avi", "ffvhuff", "yuv420p"), ("avi", "utvideo", "yuv420p"), ("avi", "cinepak", "rgb24")),
    *(("mov", "png", "rgb24"), ("mov", "qtrle", "rgb24"), ("mov", "prores_ks", "yuv422p10le")),
    *(("mkv", "jpeg2000", "yuv420p"), ("avi", "magicyuv", "yuv420p"), ("mov", "v210", "yuv422p10le")),
    *(("mov", "svq1", "yuv410p"), ("mkv", "mjpeg", "yuvj420p")),
)
"""(suffix, codec, pixel format) of each video to mutate."""
_ONLY_RATE_OF_MXF = 25
_WORKER_ENVIRONMENT = {"MALLOC_PERTURB_": "165"}


def has_clips(path: Path) -> bool:
    """Decode `path`: True for clips, False for a `VideoError`. Raises for any other outcome."""
    clips, by_threads = (_decoded(path, num_threads) for num_threads in (1, 3))
    if [clip.frames.tobytes() for clip in by_threads] != [clip.frames.tobytes() for clip in clips]:
        raise AssertionError("three threads give other clips than one")
    for clip in clips:
        if clip.frames.shape != (SPEC.num_frames, SPEC.height, SPEC.width, 3) or not clip.times.valid[0]:
            raise AssertionError("an incomplete clip")
        if np.any(np.diff(clip.times.times_seconds) < 0) or not np.all(np.isfinite(clip.times.times_seconds)):
            raise AssertionError("times out of order")
    return bool(clips)


def _decoded(path: Path, num_threads: int) -> list[Clip]:
    """Decode the clips; none for a `VideoError`."""
    try:
        with open_video(path, LIMITS, num_threads) as video:
            clips = list(video.clips(SPEC, video.plan(SPEC)))
            video.report()
    except VideoError:
        return []
    if not clips:
        raise AssertionError("no clip and no error")
    return clips


def seed_videos(directory: Path) -> list[bytes]:
    """Small videos of many formats, and some as recorders, editors and cameras write them."""
    directory.mkdir()
    videos = [
        encode(
            directory / f"{number}.{suffix}",
            moving(10, 32, 32),
            codec=codec,
            pixel_format=pixel_format,
            rate=_ONLY_RATE_OF_MXF if suffix == "mxf" else 8,
        )
        for number, (suffix, codec, pixel_format) in enumerate(SEEDS)
    ]
    # Formats that need larger pictures or other muxers.
    pictures = moving(6, 128, 96)
    videos.append(encode(directory / "cineform.mov", pictures, codec="cfhd", pixel_format="yuv422p10le"))
    source = encode(directory / "source.mp4", moving(10, 64, 48), options=B_FRAMES | {"g": "5"})
    videos += [
        appended(directory / "both.ts", *[remuxed(directory / "one.ts", source)] * 2),
        appended(directory / "both.webm", *[video for video in videos if video.suffix == ".webm"][:1] * 2),
        program_stream(directory / "packed.mpg", source, 3),
        dahua(directory / "camera.dav", source),
        matroska(directory / "cropped.mkv", source, duration_seconds=9.0, video={CROP_LEFT: 8, CROP_RIGHT: 8}),
        remuxed(directory / "ascending.mp4", source, with_presentation_as_decoding),
        remuxed(directory / "cut.ts", source, begun_at_second_keyframe),
        with_equal_times(remuxed(directory / "equal.mp4", source)),
        with_box(remuxed(directory / "clean.mp4", source), SAMPLE_ENTRY, clean_aperture(32, 32)),
        remuxed(directory / "turned.ts", source, filtered_by="h264_metadata=display_orientation=insert:rotate=90"),
    ]
    return [video.read_bytes() for video in videos]


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Change, remove, repeat or truncate bytes of `content`."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 3, 10, 50))):
        start = rng.randrange(len(damaged))
        length = min(rng.choice((1, 4, 32, 500)), len(damaged) - start)
        match rng.randrange(5):
            case 0 | 1:
                damaged[start] = rng.choice((0, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            case 2:
                damaged[start : start + length] = rng.randbytes(length)
            case 3 if len(damaged) > 2 * length:
                del damaged[start : start + length]
            case _:
                damaged[start:start] = damaged[start : start + length]
    return bytes(damaged[: rng.randrange(1, len(damaged))] if rng.random() < 1 / 8 else damaged)


def run_seeded_loop(seconds: float, seed: int, directory: Path) -> None:
    """Mutate and decode until `seconds` are over."""
    videos = seed_videos(directory / "seeds")
    path = directory / "input"
    ends_at = time.monotonic() + seconds
    number = num_decoded = 0
    while time.monotonic() < ends_at:
        rng = random.Random(f"{seed}/{number}")  # noqa: S311
        path.write_bytes(mutate(rng.choice(videos), rng))
        try:
            num_decoded += has_clips(path)
        except BaseException:
            sys.stderr.write(f"failed with --seed {seed}, input {number}: {path}\n")
            raise
        number += 1
    sys.stdout.write(f"{number} inputs: {num_decoded} gave clips, {number - num_decoded} a VideoError\n")


def run_atheris(seconds: float, directory: Path) -> None:
    """Mutate and decode with atheris, guided by coverage."""
    atheris = importlib.import_module("atheris")
    seed_videos(directory / "seeds")
    path = directory / "input"

    def one(content: bytes) -> None:
        path.write_bytes(content)
        has_clips(path)

    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", str(directory / "seeds")], one)
    atheris.Fuzz()


def main() -> None:
    """Parse the arguments and run the fuzzer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if "MALLOC_PERTURB_" not in os.environ:
        # As in decode workers. The C library reads it only when a process starts.
        os.execve(  # noqa: S606 - this program
            sys.executable, [sys.executable, "-m", "fuzz.decode", *sys.argv[1:]], os.environ | _WORKER_ENVIRONMENT
        )
    directory = Path(tempfile.mkdtemp(prefix="fuzz-"))
    sys.stdout.write(f"inputs are written to {directory / 'input'}\n")
    if importlib.util.find_spec("atheris"):
        run_atheris(arguments.seconds, directory)
    else:
        run_seeded_loop(arguments.seconds, arguments.seed, directory)


if __name__ == "__main__":
    main()
