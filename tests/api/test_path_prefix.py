"""The service under a path prefix: no address that it writes depends on the Host header or lacks the prefix."""

from functools import cache
from urllib.parse import urljoin

import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from service.app import create_app
from service.settings import Settings
from tests.api.in_process import call

PROXY = "127.0.0.1"


@cache
def app_under(root_path: str) -> FastAPI:
    """The application with `SERVICE_ROOT_PATH`."""
    return create_app(Settings(root_path=root_path))


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/predict/", "/predict"),
        ("/jobs/?limit=1&after=%2F", "/jobs?limit=1&after=%2F"),
        ("/docs/", "/docs"),
        ("/models/a:b%20c/", "/models/a%3Ab%20c"),
        ("/v2/health/live/", "/v2/health/live"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "/video", "/video/v1"])
def test_a_redirect_leads_back_through_the_prefix_and_never_to_the_host_header(
    prefix: str, path: str, target: str
) -> None:
    # The proxy may leave the prefix in the path, or remove it, even without telling the service.
    for configured, received in ((prefix, prefix + path), (prefix, path), ("", path)):
        response = call(app_under(configured), "GET", received, headers={"Host": "evil.example"})
        assert response.status_code == 307
        assert "evil" not in str(response.headers)
        public = urljoin(f"https://videos.example{prefix}{path}", response.headers["location"])
        assert public == f"https://videos.example{prefix}{target}"


def test_several_slashes_at_the_end_are_removed() -> None:
    for received in ("/predict//", "/video/predict///"):
        assert call(app_under("/video"), "GET", received).headers["location"] == "/video/predict"


def test_the_prefix_alone_leads_to_the_page() -> None:
    response = call(app_under("/video"), "GET", "/video")
    assert urljoin("https://videos.example/video", response.headers["location"]) == "https://videos.example/video/"


@pytest.mark.parametrize("path", ["/", "/docs", "/page/app.js", "/openapi.json", "/health/live", "/v2/health/live"])
def test_each_path_is_served_with_and_without_the_prefix(path: str) -> None:
    app = create_app(Settings(root_path="/video/"))
    responses = [call(app, "GET", prefix + path) for prefix in ("", "/video")]
    assert [response.status_code for response in responses] == [200, 200]
    assert responses[0].content == responses[1].content
    assert call(app, "GET", f"/videos{path}".rstrip("/")).status_code == 404


def test_the_openapi_document_names_the_prefix_as_its_server() -> None:
    app = app_under("/video")
    assert call(app, "GET", "/openapi.json").json()["servers"] == [{"url": "/video"}]
    assert "servers" not in call(app_under(""), "GET", "/openapi.json").json()


def test_errors_of_the_open_inference_protocol_keep_their_form_under_the_prefix() -> None:
    app = app_under("/video")
    assert list(call(app, "GET", "/video/v2/nowhere").json()) == ["error"]
    assert call(app, "GET", "/video/nowhere").json()["code"] == "not_found"


def servers(forwarded: str, *, proxy: str = PROXY, root_path: str = "") -> list[str]:
    """The servers of the OpenAPI document for a request with `X-Forwarded-Prefix` that comes from 127.0.0.1."""
    response = call(
        app_under(root_path), "GET", "/openapi.json", trusted_proxy=proxy, headers={"X-Forwarded-Prefix": forwarded}
    )
    return [server["url"] for server in response.json().get("servers", [])]


def test_a_trusted_proxy_states_the_prefix_in_a_header() -> None:
    assert servers("/video") == ["/video"]
    assert servers("/video/", root_path="/other") == ["/video"]
    assert servers("/outer, /inner/") == ["/outer/inner"], "two proxies each removed a part"
    assert servers("/video", proxy="192.0.2.1") == []
    assert servers("/video", proxy="192.0.2.1", root_path="/other") == ["/other"]


@pytest.mark.parametrize(
    "value",
    ["//evil.example", "https://evil.example", "video", "/a/../b", "/.", "/a b", "/%2e", "/" + "x" * 256, "", "/"],
)
def test_a_header_that_is_no_path_is_ignored_and_the_same_setting_is_refused(value: str) -> None:
    assert servers(value) == []
    if value.strip("/"):
        with pytest.raises(ValidationError, match="is not a path such as /video"):
            Settings(root_path=value)
