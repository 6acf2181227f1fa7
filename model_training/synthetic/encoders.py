"""Encoder options that make encoding deterministic."""

from collections.abc import Iterable

import cv2

_AVX_512F = 13
"""OpenCV's number of the AVX-512 CPU feature; its Python package does not define the name."""


def encoder_options(codec: str, options: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The options of an encoder, extended so that the same frames give the same bytes."""
    # With AVX-512 the lookahead of x264 reads uninitialised memory; AVX2 gives the same bytes as other processors.
    is_nondeterministic = codec == "libx264" and cv2.checkHardwareSupport(_AVX_512F)
    return dict(options) | ({"x264-params": "asm=avx2"} if is_nondeterministic else {})
