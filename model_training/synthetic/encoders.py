"""How encoders are asked for the same bytes each time. Knows nothing of what is encoded."""

from collections.abc import Iterable

import cv2

_AVX_512F = 13
"""As OpenCV numbers what a processor can do; Python is not given its names."""


def encoder_options(codec: str, options: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The options of an encoder, with what it takes to get the same bytes from it each time."""
    # What x264 looks ahead with AVX-512 depends on memory that nobody wrote to; AVX2 gives what all else gives.
    is_unsteady = codec == "libx264" and cv2.checkHardwareSupport(_AVX_512F)
    return dict(options) | ({"x264-params": "asm=avx2"} if is_unsteady else {})
