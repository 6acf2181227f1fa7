"""Conversion of a frame to the picture for a model."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from service.video.clip import ClipSpec, Fit
from service.video.errors import VideoTooLarge
from service.video.orientation import Orientation
from service.video.picture import PictureFitter, fitted_size

RED, GREEN, BLUE = (254, 0, 0), (0, 255, 1), (0, 0, 254)


def spec(fit: Fit, height: int = 32, width: int = 32) -> ClipSpec:
    return ClipSpec(num_frames=1, height=height, width=width, frames_per_second=1, stride_seconds=1, fit=fit)


def stripes(height: int = 64, width: int = 128) -> av.VideoFrame:
    """Red on the left, green in the middle half, blue on the right."""
    picture = np.zeros((height, width, 3), dtype=np.uint8)
    picture[:] = GREEN
    picture[:, : width // 4] = RED
    picture[:, -width // 4 :] = BLUE
    return av.VideoFrame.from_ndarray(picture, format="rgb24")


def colours(row: NDArray[np.uint8]) -> str:
    """The colours of a row in order, one letter for each run of pixels, `k` for black."""
    letters = ["k" if pixel.max() < 60 else "rgb"[pixel.argmax()] for pixel in row.astype(int)]
    return "".join(letter for index, letter in enumerate(letters) if not index or letters[index - 1] != letter)


def test_squash_shows_the_whole_picture_distorted() -> None:
    picture = PictureFitter(spec("squash"), None).fit(stripes())
    assert picture.shape == (32, 32, 3)
    assert picture.dtype == np.uint8
    assert colours(picture[16]) == "rgb"
    assert (picture[:, 12] == picture[16, 12]).all()


def test_crop_keeps_the_aspect_ratio_and_cuts_the_sides() -> None:
    picture = PictureFitter(spec("crop"), None).fit(stripes())
    assert picture.shape == (32, 32, 3)
    assert colours(picture[16, 2:-2]) == "g"


def test_letterbox_keeps_the_aspect_ratio_and_pads_with_black() -> None:
    picture = PictureFitter(spec("letterbox"), None).fit(stripes())
    assert picture.shape == (32, 32, 3)
    assert colours(picture[16]) == "rgb"
    assert not picture[:8].any()
    assert not picture[24:].any()
    assert picture[8:24].any(axis=(1, 2)).all()


@pytest.mark.parametrize(("pixel_aspect", "expected"), [(None, "g"), (Fraction(1, 2), "rgb"), (Fraction(0), "g")])
def test_pixels_are_made_square_before_fitting(pixel_aspect: Fraction | None, expected: str) -> None:
    picture = PictureFitter(spec("crop"), pixel_aspect).fit(stripes())
    assert colours(picture[16, 2:-2]) == expected


@pytest.mark.parametrize(
    ("fit", "expected"), [("squash", (32, 32)), ("crop", (32, 57)), ("letterbox", (18, 32))], ids=str
)
def test_sizes_before_cropping_or_padding(fit: Fit, expected: tuple[int, int]) -> None:
    assert fitted_size(1080, 1920, spec(fit)) == expected


@pytest.mark.parametrize("fit", ["squash", "crop", "letterbox"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 777), (777, 1), (3, 2), (37, 41), (32, 32)])
def test_any_picture_is_fitted_to_exactly_the_size_of_the_model(fit: Fit, height: int, width: int) -> None:
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 200, dtype=np.uint8), format="rgb24")
    picture = PictureFitter(spec(fit, 24, 40), None).fit(frame)
    assert picture.shape == (24, 40, 3)
    assert abs(int(picture.max()) - 200) <= 2


def test_a_picture_too_long_to_crop_is_too_large() -> None:
    frame = av.VideoFrame.from_ndarray(np.zeros((1, 9999, 3), dtype=np.uint8), format="rgb24")
    with pytest.raises(VideoTooLarge):
        PictureFitter(spec("crop"), None).fit(frame)
    with pytest.raises(VideoTooLarge):
        PictureFitter(spec("crop"), Fraction(1, 60000)).fit(stripes())


@pytest.mark.parametrize("is_mirrored", [False, True], ids=["as stored", "mirrored"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_each_orientation_moves_the_pixels_as_opencv_moves_them(degrees: int, *, is_mirrored: bool) -> None:
    turns = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
    stored = np.random.default_rng(0).integers(0, 256, (30, 52, 3), dtype=np.uint8)
    expected = cv2.flip(stored, 1) if is_mirrored else stored
    expected = cv2.rotate(expected, turns[degrees]) if degrees else expected
    height, width = expected.shape[:2]
    fitter = PictureFitter(spec("squash", height, width), None)
    picture = fitter.fit(av.VideoFrame.from_ndarray(stored, format="rgb24"), Orientation(is_mirrored, degrees))
    np.testing.assert_array_equal(picture, expected)


def test_grey_stays_grey_in_all_pixel_formats() -> None:
    for pixel_format in ("gray", "yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuvj420p", "nv12", "yuva420p"):
        grey = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 130, dtype=np.uint8), format="rgb24")
        picture = PictureFitter(spec("squash"), None).fit(grey.reformat(format=pixel_format))
        assert np.abs(picture.astype(int) - 130).max() <= 3, pixel_format
