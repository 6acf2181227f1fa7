"""Everything that can be wrong with a video, as facts. Knows nothing of HTTP status codes."""


class VideoError(Exception):
    """The video cannot be used; `str(error)` is safe to show to whoever sent it."""


class UnsupportedVideo(VideoError):
    """Not a video, or a container or codec that is not allowed."""


class UnreadableVideo(VideoError):
    """A video by its container, but not one wanted frame could be decoded."""


class VideoTooLarge(VideoError):
    """More pixels, seconds or packets than the limits allow."""


class DecodeDeadlineExceeded(VideoError):
    """Decoding did not end within its deadline; the decoder was killed."""


class DecoderFailed(Exception):
    """The decode worker failed for a reason that is not the video: a fault of the service.

    Not a `VideoError`: another video would fail too, and this one may be fine.
    """
