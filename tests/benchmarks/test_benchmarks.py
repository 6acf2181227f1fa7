"""Arguments, statistics and load generator of the benchmarks. The measured values are not tested."""

import http.server
import json
import threading
from collections.abc import Iterator
from importlib import import_module

import httpx
import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.harness.load import Generator
from benchmarks.harness.machine import this_machine
from benchmarks.harness.report import Report, Table, to_json
from benchmarks.harness.spread import Spread


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_a_measure_function(name: str) -> None:
    assert callable(import_module(f"benchmarks.measurements.{name}").measure)


def test_an_unknown_benchmark_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["speed"])
    assert "invalid choice: 'speed'" in capsys.readouterr().err


def test_a_spread_holds_the_median_and_the_quartiles() -> None:
    spread = Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (spread.p25, spread.median, spread.p75, spread.num_values) == (2.0, 3.0, 4.0, 5)
    assert spread.scaled(1000).median == 3000


def test_the_json_is_one_line_with_the_figures_and_the_machine() -> None:
    report = Report("decode", {"median_speedup_vs_best": 1.23456}, [Table("t", ["a"], [["b"]])])
    line = to_json(report, this_machine(), "grey/1", is_quick=True)
    assert "\n" not in line
    content = json.loads(line)
    assert content["median_speedup_vs_best"] == 1.2346
    assert content["machine"]["num_cores"] >= 1


def test_load_is_sent_only_to_the_local_machine() -> None:
    with pytest.raises(ValueError, match=r"only be sent to 127\.0\.0\.1"):
        Generator("http://192.0.2.1:80", lambda url, video: httpx.Request("POST", url, content=video), [b"video"])


def test_a_closed_loop_sends_at_most_max_requests(echo_url: str) -> None:
    generator = Generator(echo_url, lambda url, video: httpx.Request("POST", url, content=video), [b"one", b"two"])
    load = generator.closed_loop(num_clients=2, seconds=30, max_requests=7)
    assert load.statuses() == {200: 7}
    assert {response.content for response in load.successful} == {b"one", b"two"}


def test_an_open_loop_sends_at_its_rate(echo_url: str) -> None:
    generator = Generator(echo_url, lambda url, video: httpx.Request("POST", url, content=video), [b"one"])
    load = generator.open_loop(per_second=100, seconds=0.2)
    assert load.statuses() == {200: 20}


class _Echo(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def echo_url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
