"""Headers of MP4, Matroska and MPEG-TS are read correctly, and damaged ones raise no error."""

import math
import random
import time
from pathlib import Path

import pytest

from service.video.containers.file_kind import file_kind
from service.video.containers.matroska import matroska_facts
from service.video.containers.mp4 import mp4_tracks
from service.video.containers.transport_stream import is_scrambled
from service.video.crop import Crop
from service.video.orientation import IDENTITY, Orientation, matrix_product
from tests.support.recordings import (
    CROP_LEFT,
    CROP_RIGHT,
    PROJECTION,
    SAMPLE_ENTRY,
    clean_aperture,
    matroska,
    projection,
    with_box,
)
from tests.support.videos import painted


def read_all(path: Path) -> None:
    """Read everything that is read from a file without a decoder."""
    mp4_tracks(path)
    matroska_facts(path)
    is_scrambled(path)
    file_kind(path, frozenset())


def test_damaged_headers_raise_no_error(tmp_path: Path) -> None:
    source = painted(tmp_path / "source.mp4", [10, 20, 30])
    mp4 = with_box(painted(tmp_path / "a.mp4", [10, 20, 30]), SAMPLE_ENTRY, clean_aperture(32, 32)).read_bytes()
    mkv = matroska(tmp_path / "a.mkv", source, video={CROP_LEFT: 8, PROJECTION: projection(90.0, 0.0)}).read_bytes()
    ts = painted(tmp_path / "a.ts", [10, 20, 30]).read_bytes()
    path = tmp_path / "file"
    rng = random.Random(3)  # noqa: S311
    for content in (mp4, mkv, ts):
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(rng.choice((1, 5, 50))):
                damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
            path.write_bytes(damaged[: rng.randrange(len(damaged))])
            read_all(path)


def test_reading_stops_in_a_file_of_very_many_boxes(tmp_path: Path) -> None:
    path = tmp_path / "boxes.mp4"
    path.write_bytes(b"\0\0\0\x08free" * 2_000_000)
    begins = time.process_time()
    assert mp4_tracks(path) == {}
    path.write_bytes(b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" + b"\xec\x80" * 4_000_000)
    assert not matroska_facts(path).tracks
    assert time.process_time() - begins < 5


def test_mp4_tracks_are_identified_by_track_number(tmp_path: Path) -> None:
    path = with_box(painted(tmp_path / "a.mp4", [10]), SAMPLE_ENTRY, clean_aperture(32, 48, right_by=8))
    assert {number: track.crop for number, track in mp4_tracks(path).items()} == {1: Crop(left=24, right=8)}


def test_a_matroska_file_is_whole_if_it_has_its_stated_size(tmp_path: Path) -> None:
    path = matroska(tmp_path / "a.mkv", painted(tmp_path / "source.mp4", [10] * 9), video={CROP_RIGHT: 5})
    assert matroska_facts(path).is_whole
    assert [track.crop for track in matroska_facts(path).tracks] == [Crop(right=5)]
    path.write_bytes(path.read_bytes()[:-1])
    assert not matroska_facts(path).is_whole


@pytest.mark.parametrize("degrees", range(0, 360, 90))
@pytest.mark.parametrize("is_mirrored", [False, True])
def test_a_display_matrix_of_any_scale_is_recognised(degrees: int, *, is_mirrored: bool) -> None:
    cosine, sine = round(math.cos(math.radians(degrees))), round(math.sin(math.radians(degrees)))
    # A point is mirrored first, then rotated clockwise; q points downwards.
    mirroring = (-1, 0, 0, 1) if is_mirrored else IDENTITY
    matrix = matrix_product(mirroring, (cosine, sine, -sine, cosine))
    for scale in (1, 65536, 0.01):
        scaled = (matrix[0] * scale, matrix[1] * scale, matrix[2] * scale, matrix[3] * scale)
        assert Orientation.from_matrix(scaled) == Orientation(is_mirrored, degrees)


@pytest.mark.parametrize("matrix", [(0, 0, 0, 0), (1, 1, 1, 1), (1, 1, -1, 1), (1, 0, 0, 0)])
def test_other_matrices_leave_pictures_upright(matrix: tuple[int, int, int, int]) -> None:
    assert Orientation.from_matrix(matrix) == Orientation()


def test_a_crop_that_leaves_no_pixel_is_ignored() -> None:
    assert Crop(left=40, right=24).size(64, 48) == (64, 48)
    assert Crop(left=40, right=23).size(64, 48) == (1, 48)
    assert Crop().size(64, 48) == (64, 48)
