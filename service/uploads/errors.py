"""Errors of uploads and downloads of videos."""


class UploadError(Exception):
    """The upload is rejected; `str(error)` is the reason, safe to show to the client."""


class MalformedRequest(UploadError):
    """The body is not a valid form with one video, or not a JSON object with a URL."""


class UnknownField(UploadError):
    """The form or JSON object has an unknown field."""


class UnsupportedEncoding(UploadError):
    """The body has a Content-Encoding that the service cannot decode."""


class UploadTooLarge(UploadError):
    """The upload has more bytes than allowed."""


class UploadTooSlow(UploadError):
    """The upload paused or lasted longer than allowed."""


class StorageFull(Exception):
    """The disk of the upload directory is full, usually for a short time."""


class StorageUnavailable(Exception):
    """The upload cannot be stored: its directory is gone, read-only or broken, or no file can be opened."""


class UrlUnreachable(Exception):
    """The URL's server cannot be reached or did not return the whole file; `str(error)` is safe to show."""


class UrlTooSlow(Exception):
    """The URL's server paused or took longer than an upload may."""
