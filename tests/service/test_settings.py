"""Settings from the environment: lists, values that cannot work, unknown names."""

import os
import tempfile
from typing import get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from service.environment import InvalidSettings
from service.setting_types import list_items, require_origin
from service.settings import Settings, read_settings

LISTS = {
    "CORS_ORIGINS": ("https://example.org", "http://localhost:3000"),
    "MODELS_AT_START": ("events", "fights"),
    "URL_ALLOWED_HOSTS": ("example.org", "[::1]:8080"),
    "WEBHOOK_ALLOWED_HOSTS": ("example.org", "hooks.example.org:8443"),
    "IGNORED_VARIABLES": ("SERVICE_NAME", "SERVICE_TAGS"),
    "BATCH_SIZES": (1, 2, 4),
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("SERVICE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SERVICE_WEBHOOK_SECRET", "sixteen characters")
    monkeypatch.setenv("SERVICE_JOBS_DIR", "jobs")


def fault(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """The text of the error for these variables, without `SERVICE_`."""
    for name, value in variables.items():
        monkeypatch.setenv(f"SERVICE_{name}", value)
    with pytest.raises(InvalidSettings) as caught:
        read_settings()
    return str(caught.value)


def test_the_lists_of_this_test_are_all_list_settings() -> None:
    fields = {name.upper() for name, field in Settings.model_fields.items() if get_origin(field.annotation) is tuple}
    assert fields == LISTS.keys()


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("separator", [",", " , ", ",\n", ",,"])
def test_a_list_is_read_from_commas(name: str, separator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SERVICE_{name}", separator.join(map(str, LISTS[name])) + separator)
    assert getattr(read_settings(), name.lower()) == LISTS[name]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_read_from_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SERVICE_{name}", str(list(LISTS[name])).replace("'", '"'))
    assert getattr(read_settings(), name.lower()) == LISTS[name]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("value", ['["a"', "[1,]", "[[[", "[" * 100_000])
def test_a_broken_json_list_is_an_error_of_one_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The system refuses a variable of 128 KiB.
    text = fault(monkeypatch, **{name: value})
    assert text.startswith(f"SERVICE_{name}: ")
    assert "is not a JSON list" in text
    assert "\n" not in text
    assert len(text) < 300


@given(st.text())
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        items = list_items(text)
    except ValueError:
        return
    assert isinstance(items, list)


@pytest.mark.parametrize(
    ("origin", "remedy"),
    [
        ("https://example.org/", "Write https://example.org."),
        ("https://example.org/app", "Write https://example.org."),
        ("https://example.org?a", "Write https://example.org."),
        ("example.org", "Write https://example.org."),
        ("example.org:8443", "Write https://example.org:8443."),
        ("HTTPS://Example.org", "Write https://example.org."),
        ("https://example.org:443", "Write https://example.org."),
        ("http://example.org:80", "Write http://example.org."),
        ("https://grün.example", "Write https://xn--grn-ioa.example."),
        ("*.example.org", "Wildcards"),
        ("https://*.example.org", "Wildcards"),
        ("https://user@example.org", "Write scheme://host"),
        ("https://", "Write scheme://host"),
        ("https://[::1", "Write scheme://host"),
        ("https://example.org:99999", "Write scheme://host"),
        ("https://exa mple.org", "Write scheme://host"),
    ],
)
def test_an_origin_that_matches_no_request_is_refused_with_a_remedy(
    origin: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = fault(monkeypatch, CORS_ORIGINS=origin)
    assert text.startswith(f"SERVICE_CORS_ORIGINS: item 1: '{origin}' can match no request")
    assert remedy in text
    assert "\n" not in text


@pytest.mark.parametrize(
    "origin",
    ["*", "null", "https://example.org", "http://localhost:3000", "http://[::1]:3000", "capacitor://localhost"],
)
def test_an_origin_that_browsers_send_is_accepted(origin: str) -> None:
    assert require_origin(origin) == origin


@pytest.mark.parametrize("name", ["URL_ALLOWED_HOSTS", "WEBHOOK_ALLOWED_HOSTS"])
@pytest.mark.parametrize(
    "host",
    ["https://example.org", "example.org/a", "*.example.org", "example.org:99999", "grün", "xn--", "xn--ls8h.la:443"],
)
def test_a_host_that_is_none_is_refused(name: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fault(monkeypatch, **{name: host}).startswith(f"SERVICE_{name}: item 1: '{host}' is not a host.")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgres://user:geheim@host/jobs", "postgres is not supported"),
        ("postgresql://user:geheim@host/jobs", "postgresql is not supported"),
        ("postgresql+asyncpg://user:geheim@host/jobs", "postgresql+asyncpg is not supported"),
        ("mysql://user:geheim@host/jobs", "mysql is not supported"),
        ("nonsense", "not the URL of a database"),
        ("user:geheim@host/jobs", "not the URL of a database"),
        ("postgresql+psycopg://user:geheim@host:port/jobs", "not the URL of a database"),
        ("sqlite://", "does not survive"),
        ("sqlite:///:memory:", "does not survive"),
    ],
)
def test_a_database_url_that_cannot_work_is_refused_without_its_password(
    url: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = fault(monkeypatch, DATABASE_URL=url)
    assert text.startswith("SERVICE_DATABASE_URL: ")
    assert message in text
    assert "postgresql+psycopg://" in text or "sqlite:///path" in text
    assert "geheim" not in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"PORT": "abc"}, "SERVICE_PORT: Input should be a valid integer, unable to parse string as an integer; it is"),
        ({"PORT": "tcp://10.0.0.1:80"}, "SERVICE_PORT: 'tcp://10.0.0.1:80' is a link that Kubernetes or Docker sets"),
        ({"HOST": "http://0.0.0.0"}, "SERVICE_HOST: 'http://0.0.0.0' is not an address to listen on."),
        ({"HOST": "0.0.0.0:8000"}, "SERVICE_HOST: '0.0.0.0:8000' is not an address to listen on."),
        ({"BATCH_SIZES": "1,two"}, "SERVICE_BATCH_SIZES: item 2: Input should be a valid integer"),
        ({"DRAIN_SECONDS": "inf"}, "SERVICE_DRAIN_SECONDS: Input should be a finite number"),
        ({"DEADLINE_SECONDS": "nan"}, "SERVICE_DEADLINE_SECONDS: Input should be a finite number"),
        ({"LOG_LEVEL": "loud\nand"}, "SERVICE_LOG_LEVEL: String should match"),
        ({"JOB_WORKERS": "2", "DECODE_CHILDREN": "2"}, "SERVICE_JOB_WORKERS must be less than SERVICE_DECODE_CHILDREN"),
    ],
)
def test_a_value_that_cannot_work_is_named_in_one_line(
    variables: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = fault(monkeypatch, **variables)
    assert text.startswith(line)
    assert "\n" not in text


def test_a_secret_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"WEBHOOK_SECRET": "geheim"}
    text = fault(monkeypatch, **variables)
    assert text.startswith("SERVICE_WEBHOOK_SECRET: ")
    assert "geheim" not in text


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MAX_UPLOAD_BYTE", "SERVICE_MAX_UPLOAD_BYTES"),
        ("CORS_ORIGIN", "SERVICE_CORS_ORIGINS"),
        ("API_KEY_FILE", "SERVICE_API_KEYS_FILE"),
        ("PROT", "SERVICE_PORT"),
        ("port_", "SERVICE_PORT"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_one(
    name: str, nearest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = fault(monkeypatch, **{name: "1"})
    assert text.startswith(f"SERVICE_{name}: there is no such setting. The nearest one is {nearest}.")
    assert "\n" not in text


def test_what_kubernetes_sets_for_services_and_listed_names_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        # For a Service named `service`, whose container sets its own port, and for `service-cache`.
        "SERVICE_PORT": "8000",
        "SERVICE_SERVICE_HOST": "10.0.0.1",
        "SERVICE_SERVICE_PORT": "80",
        "SERVICE_SERVICE_PORT_HTTP": "80",
        "SERVICE_PORT_80_TCP": "tcp://10.0.0.1:80",
        "SERVICE_PORT_80_TCP_PROTO": "tcp",
        "SERVICE_PORT_80_TCP_PORT": "80",
        "SERVICE_PORT_80_TCP_ADDR": "10.0.0.1",
        "SERVICE_CACHE_SERVICE_HOST": "10.0.0.2",
        "SERVICE_CACHE_SERVICE_PORT": "6379",
        "SERVICE_CACHE_PORT": "tcp://10.0.0.2:6379",
        "SERVICE_CACHE_PORT_6379_TCP_ADDR": "10.0.0.2",
        # For other Services.
        "FRAMEWISE_SERVICE_HOST": "10.0.0.3",
        # Of other software.
        "SERVICE_NAME": "video",
        "SERVICE_IGNORED_VARIABLES": "service_name",
        "SERVICE_EMPTY": "",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert read_settings().port == 8000


def test_a_machine_without_a_temporary_directory_needs_an_upload_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nonexistent"])
    assert fault(monkeypatch).startswith("SERVICE_UPLOAD_DIR: it is not set, and this machine has no temporary")
    monkeypatch.setenv("SERVICE_UPLOAD_DIR", "uploads")
    assert str(read_settings().upload_dir) == "uploads"


def test_settings_in_code_are_checked_too() -> None:
    with pytest.raises(ValidationError, match="can match no request"):
        Settings(cors_origins=("https://example.org/",))
