"""The files of the page: their headers, and rules for their text."""

import re

import httpx
import pytest

from service.api.problem_table import TABLE
from service.api.routes.page import PAGE_DIR

pytestmark = pytest.mark.tensorflow

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = sorted(path.name for path in PAGE_DIR.iterdir())


def test_the_page_has_a_strict_content_security_policy(service_url: str) -> None:
    response = httpx.get(service_url)
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
def test_an_unchanged_file_is_not_sent_again(service_url: str, name: str) -> None:
    first = httpx.get(f"{service_url}/page/{name}")
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-cache"
    again = httpx.get(f"{service_url}/page/{name}", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == first.headers["etag"]


def test_head_responds_like_get_without_a_body(service_url: str) -> None:
    answers = [httpx.request(method, service_url) for method in ("GET", "HEAD")]
    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    assert answers[1].content == b""


@pytest.mark.parametrize("name", ["nothing.js", "..%2Fapp.py", "%2e%2e%2fapp.py"])
def test_a_path_outside_the_page_is_not_found(service_url: str, name: str) -> None:
    response = httpx.get(f"{service_url}/page/{name}")
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host(name: str) -> None:
    text = (PAGE_DIR / name).read_text().replace("http://www.w3.org/2000/svg", "")
    assert re.findall(r"""["'(]\s*(?:https?:)?//[\w.]""", text) == []


def test_the_page_has_no_inline_script_or_style() -> None:
    markup = (PAGE_DIR / "index.html").read_text()
    assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", markup) == []


def test_no_script_makes_markup_from_text() -> None:
    scripts = "".join(path.read_text() for path in PAGE_DIR.glob("*.js"))
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", scripts) == []


@pytest.mark.parametrize("code", sorted({kind.code for kind in TABLE.values()} | {"not_found", "method_not_allowed"}))
def test_every_problem_has_a_title_and_a_remedy(code: str) -> None:
    assert re.search(rf'^  {code}: \["[^"]+", "[^"]+"\],$', (PAGE_DIR / "words.js").read_text(), re.MULTILINE)
