"""What a client is given: addresses, keys, proxies, time limits, and videos of every kind."""

import asyncio
import gc
import io
import os
import threading
from pathlib import Path

import pytest

from framewise.client import AsyncClient, Client, ProblemError, ServiceUnreachable
from framewise.client.errors import InvalidArgument
from framewise.client.multipart import VideoForm
from framewise.client.video_source import OpenVideo
from service.prediction.settings import PredictionSettings
from tests.client.faulty_servers import stay_silent, tcp_server, trickle

pytestmark = pytest.mark.slow

URL = "http://127.0.0.1:9"
KEY = "fw_secret-key"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "url", ["http://[::1", "127.0.0.1:8000", "", "ftp://host", "http://", "http://a:b/", "http://exa mple", "\udce9"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(InvalidArgument, match=r"is not the address of a service\. Write http://host:port"):
            kind(url)


def test_a_password_in_the_address_is_not_shown() -> None:
    with Client("http://user:geheim@127.0.0.1:9") as client, pytest.raises(ServiceUnreachable) as caught:
        client.health()
    assert str(caught.value).startswith("No response from http://127.0.0.1:9: ")
    with pytest.raises(InvalidArgument) as refused:
        Client("ftp://user:geheim@host")
    assert "geheim" not in f"{caught.value}{refused.value}"


@pytest.mark.parametrize("key", [f"{KEY}\nmore", f"{KEY} more", f"{KEY}ä", f"{KEY}\x00", f"{KEY}\udce9", KEY * 100])
def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Client(URL, api_key=key)
    assert KEY not in str(caught.value)


@pytest.mark.tensorflow
def test_white_space_around_a_key_is_dropped(service_url: str) -> None:
    with Client(service_url, api_key=f" {KEY}\r\n") as client:
        assert client.health().state == "ready"
    with Client(service_url, api_key=" \n") as client:
        assert client.health().state == "ready"


def test_an_idempotency_key_that_no_service_accepts_is_refused(dark: Path) -> None:
    with Client(URL) as client:
        for key in ("ä", "", "a\nb", "a" * 129):
            with pytest.raises(InvalidArgument, match="1 to 128 ASCII characters"):
                client.submit_job(dark, idempotency_key=key)


def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://user:geheim@127.0.0.1:1")
    with pytest.raises(
        InvalidArgument, match=r"ALL_PROXY cannot be used: it names a SOCKS proxy.*httpx\[socks\]"
    ) as it:
        Client(URL)
    assert "geheim" not in str(it.value)
    monkeypatch.setenv("ALL_PROXY", "nonsense://a")
    with pytest.raises(InvalidArgument, match="ALL_PROXY cannot be used: it is not the URL of a proxy"):
        Client(URL)


def test_a_proxy_that_refuses_is_blamed_and_not_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with (
        Client("http://192.0.2.1") as client,
        pytest.raises(ServiceUnreachable, match="the proxy that HTTP_PROXY names"),
    ):
        client.health()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Client(URL) as client, pytest.raises(ServiceUnreachable) as caught:
        client.health()
    assert "proxy" not in str(caught.value)


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent.pem")
    with pytest.raises(InvalidArgument, match="SSL_CERT_FILE"):
        Client("https://example.org")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1"])
def test_a_time_limit_that_is_none_is_refused(timeout: float, dark: Path) -> None:
    with pytest.raises(InvalidArgument, match="must be a number of seconds above 0"):
        Client(URL, timeout=timeout)
    with Client(URL) as client, pytest.raises(InvalidArgument):
        client.predict(dark, timeout=timeout)


@pytest.mark.parametrize("respond", [stay_silent, trickle])
def test_a_server_that_never_completes_a_response_is_left_in_time(respond: object, dark: Path) -> None:
    async def asynchronous(url: str) -> None:
        async with AsyncClient(url) as client:
            await client.submit_job(dark, timeout=0.3)

    with tcp_server(respond) as url:  # type: ignore[arg-type]
        with Client(url, timeout=0.3) as client:
            for call in (client.health, client.models, lambda: client.predict(dark)):
                with pytest.raises(ServiceUnreachable, match="the time limit of the client is over"):
                    call()
        with Client(url) as client:
            with pytest.raises(ServiceUnreachable, match="time limit"):
                client.validate(dark, timeout=0.3)
            with pytest.raises(TimeoutError, match=r"The job 1 has not ended within 0\.3 s\. It goes on\."):
                client.wait_for_job("1", timeout=0.3)
        with pytest.raises(ServiceUnreachable, match="time limit"):
            asyncio.run(asynchronous(url))


def test_the_default_time_limits_are_above_the_deadline_of_a_service() -> None:
    with Client(URL) as client:
        assert client._seconds_for_video(None, None) > PredictionSettings().deadline_seconds  # noqa: SLF001 - no public way
        assert client._seconds_for_video(None, 3600) > 3600  # noqa: SLF001 - as above


@pytest.mark.tensorflow
def test_a_client_works_without_a_with_block(service_url: str, dark: Path) -> None:
    client = Client(service_url)
    try:
        assert client.predict(dark).prediction.label == "dark"
        assert "mp4" in client.capabilities().containers
    finally:
        client.close()

    async def predict() -> str:
        asynchronous = AsyncClient(service_url)
        try:
            return (await asynchronous.predict(dark)).prediction.label
        finally:
            await asynchronous.aclose()

    assert asyncio.run(predict()) == "dark"


@pytest.mark.tensorflow
def test_a_video_may_be_bytes_an_open_file_or_a_pipe(service_url: str, dark: Path, tmp_path: Path) -> None:
    content = dark.read_bytes()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(content,))
    read_end, write_end = os.pipe()

    def write_into_pipe() -> None:
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(content)

    threading.Thread(target=write_into_pipe).start()
    with Client(service_url) as client, dark.open("rb") as file, os.fdopen(read_end, "rb") as pipe:
        writer.start()
        answers = [client.predict(video) for video in (dark, str(dark), content, file, io.BytesIO(content), fifo, pipe)]
        assert not file.closed
    writer.join()
    gc.collect()
    assert {answer.prediction.label for answer in answers} == {"dark"}


def test_an_open_file_is_sent_from_its_position_and_again_for_each_attempt(tmp_path: Path) -> None:
    file = io.BytesIO(b"12345")
    file.read(2)
    form = VideoForm(file)
    assert [b"".join(form.chunks()).count(b"\r\n\r\n345\r\n") for _ in range(2)] == [1, 1]
    with pytest.raises(TypeError, match="opened for reading bytes"):
        OpenVideo(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(IsADirectoryError):
        OpenVideo(tmp_path)


def test_a_file_that_grows_is_sent_up_to_its_first_size_and_one_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "recording"
    path.write_bytes(b"a" * 100)
    form = VideoForm(path)
    with path.open("ab") as file:
        file.write(b"b")
    assert len(b"".join(form.chunks())) == int(form.headers["Content-Length"])
    os.truncate(path, 50)
    with pytest.raises(OSError, match="became shorter"):
        b"".join(form.chunks())
    form.close()


def test_a_pipe_that_is_silent_is_left_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framewise.client.video_source.MAX_PIPE_SECONDS", 0.2)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(TimeoutError, match=r"the pipe has not ended within 0\.2 s"):
        OpenVideo(tmp_path / "fifo")


def test_a_pipe_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framewise.client.video_source.MAX_SPOOLED_BYTES", 1 << 20)
    with pytest.raises(OSError, match="more than 1 MiB come from the pipe"):
        OpenVideo("/dev/zero")


@pytest.mark.tensorflow
def test_a_prediction_gives_dictionaries_and_rows(service_url: str, dark: Path) -> None:
    with Client(service_url) as client:
        prediction = client.predict(dark)
        with pytest.raises(ProblemError, match="unknown_model"):
            client.predict(dark, model="\udce9")
    assert prediction.to_dict()["prediction"] == prediction.prediction.to_dict()
    assert prediction.summary_row()["label"] == "dark"
    assert [row["label"] for row in prediction.label_rows()] == ["dark", "bright"]
    assert [row["attention"] for row in prediction.frame_rows()] == [frame.attention for frame in prediction.frames]
    assert prediction.clip_rows()[0]["start_seconds"] == 0.0
