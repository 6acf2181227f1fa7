"""Schema of an error response (RFC 9457)."""

from framewise.schemas.wire import Wire


class Problem(Wire):
    """An error as in RFC 9457; `code` is a stable identifier, `detail` an explanation for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str
