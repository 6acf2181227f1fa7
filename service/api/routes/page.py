"""`GET /`, a page to try the service, and `GET /docs`, the interactive documentation of the API.

Swagger UI for `/docs` comes from a Python package, so that browsers load no file from another host.
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
    # Browsers revalidate each time (by ETag), because a stale script would break the page.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One static file."""

    content: bytes
    media_type: str
    etag: str


@cache
def page_files() -> dict[str, PageFile]:
    """Return the files of the page by name; they are read from disk once."""
    return {path.name: _read(path) for path in sorted(PAGE_DIR.iterdir()) if path.suffix in _MEDIA_TYPES}


@cache
def documentation_files() -> dict[str, PageFile]:
    """Return the files of the documentation by name; they are read from disk once."""
    swagger = Path(str(files("fastapi_offline"))) / "static"
    paths = [*sorted(DOCUMENTATION_DIR.iterdir()), *(swagger / name for name in _SWAGGER_FILES)]
    return {path.name: _read(path) for path in paths if path.suffix in _MEDIA_TYPES}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content=content, media_type=_MEDIA_TYPES[path.suffix], etag=etag)


@router.get("/")
async def page(request: Request) -> Response:
    """Serve the page."""
    return _respond(request, page_files(), "index.html")


@router.get("/page/{name}")
async def page_file(request: Request, name: str) -> Response:
    """Serve a file of the same pages."""
    return _respond(request, page_files(), name)


@router.get("/docs")
async def documentation(request: Request) -> Response:
    """Serve the documentation."""
    return _respond(request, documentation_files(), "index.html")


@router.get("/docs/{name}")
async def documentation_file(request: Request, name: str) -> Response:
    """Serve a file of the same pages."""
    return _respond(request, documentation_files(), name)


def _respond(request: Request, served: dict[str, PageFile], name: str) -> Response:
    """Return the file, or 304 if the browser has its current version."""
    file = served.get(name)
    if file is None:
        raise HTTPException(404, f"There is no file {name[:64]!r}.")
    headers = {**_HEADERS, "ETag": file.etag}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if file.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)
