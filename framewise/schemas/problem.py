"""An error response (RFC 9457)."""

from framewise.schemas.wire import Wire


class Problem(Wire):
    """An error, as RFC 9457 has it; `code` is stable, `detail` is for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    request_id: str
