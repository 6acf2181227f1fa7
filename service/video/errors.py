"""Errors of video decoding. They know nothing of HTTP; `service.api.problems` maps them to status codes."""


class VideoError(Exception):
    """The video cannot be used; the message is safe to show to the client."""


class UnsupportedVideo(VideoError):
    """The file is not a video, or its container or codec is not allowed."""


class UnreadableVideo(VideoError):
    """The container can be read, but no requested frame can be decoded."""


class DecoderKilled(UnreadableVideo):
    """The decode worker was killed from outside or made no progress, which may not be the video's fault."""


class VideoUnavailable(VideoError):
    """The file cannot be opened, such as one that was removed: a fault of its storage, not of the video."""


class VideoTooLarge(VideoError):
    """The video has more pixels, seconds or packets than the limits allow."""


class DecodeDeadlineExceeded(VideoError):
    """Decoding did not end within its deadline; the decode worker was killed."""


class DecoderFailed(Exception):
    """The decode worker failed for a reason that is not the video: a fault of the service.

    Not a `VideoError`: another video would fail too, and this one may be valid.
    """
