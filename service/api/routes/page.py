"""`GET /`, a page to try the service with, and `GET /docs`, its API to read and try. Plain files, read once.

Swagger UI, which `/docs` is made of, comes from a package: nobody's browser is sent to another host for it.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

router = APIRouter(include_in_schema=False)

PAGE_DIR = Path(__file__).parents[2] / "page"
DOCUMENTATION_DIR = Path(__file__).parents[2] / "documentation"
_SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css")
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # Kept, but asked about each time: an ETag costs one small answer, a stale script costs a broken page.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page, as it is sent."""

    content: bytes
    media_type: str
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Every file of the page by its name; read from disk the first time only."""
    return {path.name: _read(path) for path in sorted(PAGE_DIR.iterdir()) if path.suffix in _MEDIA_TYPES}


@cache
def documentation_files() -> dict[str, PageFile]:
    """Every file of the documentation by its name; read from disk the first time only."""
    swagger = Path(str(files("fastapi_offline"))) / "static"
    paths = [*sorted(DOCUMENTATION_DIR.iterdir()), *(swagger / name for name in _SWAGGER_FILES)]
    return {path.name: _read(path) for path in paths if path.suffix in _MEDIA_TYPES}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content=content, media_type=_MEDIA_TYPES[path.suffix], etag=etag)


@router.api_route("/", methods=["GET", "HEAD"])
async def page(request: Request) -> Response:
    """The page."""
    return _answer(request, page_files(), "index.html")


@router.api_route("/page/{name}", methods=["GET", "HEAD"])
async def page_file(request: Request, name: str) -> Response:
    """One of the files it asks for."""
    return _answer(request, page_files(), name)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def documentation(request: Request) -> Response:
    """The documentation."""
    return _answer(request, documentation_files(), "index.html")


@router.api_route("/docs/{name}", methods=["GET", "HEAD"])
async def documentation_file(request: Request, name: str) -> Response:
    """One of the files it asks for."""
    return _answer(request, documentation_files(), name)


def _answer(request: Request, served: dict[str, PageFile], name: str) -> Response:
    """The file, or 304 where the browser has it already."""
    file = served.get(name)
    if file is None:
        raise HTTPException(404, f"The page has no file {name[:64]!r}.")
    headers = {**_HEADERS, "ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
