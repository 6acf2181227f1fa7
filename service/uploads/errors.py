"""Errors of receiving a video."""


class UploadError(Exception):
    """The upload cannot be used; `str(error)` is safe to show to whoever sent it."""


class MalformedRequest(UploadError):
    """The body is not the multipart form it claims to be, or not the form that is asked for."""


class UnknownField(UploadError):
    """The form has a field that the service does not know."""


class UploadTooLarge(UploadError):
    """More bytes than are allowed."""


class UploadTooSlow(UploadError):
    """The upload paused or lasted for longer than is allowed."""


class StorageFull(Exception):
    """The directory of uploads has no room, as a rule for a while only."""


class UrlUnreachable(Exception):
    """The URL's server was not reached, or did not answer with a whole file; `str(error)` is safe to show."""


class UrlTooSlow(Exception):
    """The URL's server paused, or took in all, longer than an upload may."""
