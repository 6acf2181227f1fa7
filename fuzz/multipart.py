"""Property: for any form and any chunks, the video or its absence is that of a parser that looks at each byte.

    python -m fuzz.multipart --seconds 20 [--seed 0]

A failure prints the seed and the number that reproduce it. A form that `python-multipart` accepts, too, has the same
video there. That parser does not limit the padding of boundaries, and knows no content before the first one.
"""

import argparse
import io
import logging
import random
import sys
import time

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from service.uploads.bounded_file import BoundedFile
from service.uploads.errors import UploadError
from service.uploads.multipart import MAX_PADDING_BYTES, VideoForm
from service.uploads.settings import UploadSettings
from tests.support.multipart_reference import BOUNDARY, random_body, random_chunks, video_of

_SETTINGS = UploadSettings(max_upload_bytes=1 << 20)


def parsed_video(chunks: list[bytes]) -> bytes | None:
    """The video of a form that arrives in these chunks, as the service parses it; None if the form is refused."""
    file = io.BytesIO()
    form = VideoForm(BOUNDARY, BoundedFile(file, _SETTINGS), _SETTINGS)
    try:
        for chunk in chunks:
            form.write(chunk)
        form.finish()
    except UploadError:
        return None
    return file.getvalue()


def check(body: bytes, chunks: list[bytes]) -> bool:
    """Whether `body` has a video. Raises AssertionError if the parsers disagree about it."""
    video = parsed_video(chunks)
    if video != video_of(body):
        raise AssertionError(f"the service reads {video!r} from {body!r} in {chunks!r}, not {video_of(body)!r}")
    is_comparable = body.startswith(b"--" + BOUNDARY) and b" " * MAX_PADDING_BYTES not in body
    if video is not None and is_comparable and (other := _video_of_library(body)) not in (None, video):
        raise AssertionError(f"the service reads {video!r} from {body!r}, python-multipart {other!r}")
    return video is not None


def _video_of_library(body: bytes) -> bytes | None:
    """The content of all parts as python-multipart reads it; None if it refuses the form."""
    content = bytearray()
    has_ended: list[bool] = []
    parser = MultipartParser(
        BOUNDARY,
        {
            "on_part_data": lambda data, start, end: content.extend(data[start:end]),
            "on_end": lambda: has_ended.append(True),
        },
    )
    try:
        parser.write(body)
    except FormParserError:
        return None
    return bytes(content) if has_ended else None


def main() -> None:
    """Parse random forms until the seconds are over."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # The library warns of each form that it refuses.
    logging.disable()
    ends_at = time.monotonic() + arguments.seconds
    number = num_videos = 0
    while time.monotonic() < ends_at:
        rng = random.Random(f"{arguments.seed}/{number}")  # noqa: S311
        body = random_body(rng)
        try:
            num_videos += check(body, random_chunks(body, rng))
        except BaseException:
            sys.stderr.write(f"failed with --seed {arguments.seed}, input {number}\n")
            raise
        number += 1
    sys.stdout.write(f"{number} forms: {num_videos} had a video, {number - num_videos} were refused\n")


if __name__ == "__main__":
    main()
