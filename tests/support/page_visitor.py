"""A visitor of the page: actions and what the browser shows."""

import base64
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Locator, Page

# Guards against a hang only: a machine that also trains is slow, and nothing here is about speed.
TIMEOUT_MS = 120_000
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]

_DROP = """([base64, name]) => {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: "video/mp4" }));
    for (const kind of ["dragover", "drop"])
        document.getElementById("drop").dispatchEvent(
            new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""

_GREY_LEVEL = """(shown) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d");
    context.drawImage(shown, 0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data[1];
}"""


class Visitor:
    """A browser with the page open; `faults` are script errors, `hosts` the hosts that the page requested."""

    def __init__(self, page: "Page", url: str) -> None:
        self.page = page
        self.url = url
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, message: "ConsoleMessage") -> None:
        # The browser itself notes each refusal of the service; the page shows those.
        if not message.text.startswith("Failed to load resource"):
            self.faults.append(message.text)

    def open(self) -> None:
        """Open the page and wait until it knows the models."""
        self.page.goto("/")
        self.page.locator("#chooser").wait_for()

    def find(self, selector: str) -> "Locator":
        """The elements that match."""
        return self.page.locator(selector)

    def choose(self, *paths: Path) -> None:
        """Choose files, as the dialog would."""
        self.page.set_input_files("#files", list(paths))

    def drop(self, path: Path) -> None:
        """Drop a file onto the page."""
        self.page.evaluate(_DROP, [base64.b64encode(path.read_bytes()).decode(), path.name])

    def wait_for_answer(self) -> None:
        """Wait until the timeline is there."""
        self.page.locator(".bar").first.wait_for()

    def bars(self) -> list[dict[str, Any]]:
        """The exact attention, time, index and clip of each bar."""
        bars: list[dict[str, Any]] = self.page.evaluate(
            "[...document.querySelectorAll('.bar')].map((bar) => ({"
            "attention: Number(bar.dataset.attention), time: Number(bar.dataset.time),"
            "index: Number(bar.dataset.index), clip: Number(bar.dataset.clip),"
            "left: bar.getBoundingClientRect().left - bar.parentElement.getBoundingClientRect().left,"
            "height: parseFloat(getComputedStyle(bar, '::before').height),"
            "trackWidth: bar.parentElement.getBoundingClientRect().width,"
            "trackHeight: bar.getBoundingClientRect().height }))"
        )
        return bars

    def grey_level(self, selector: str) -> int:
        """Brightness, 0..255, of the picture in the first matching video or canvas."""
        level: int = self.page.locator(selector).first.evaluate(_GREY_LEVEL)
        return level

    def ask_service(self, path: Path) -> dict[str, Any]:
        """The prediction of the same video, requested without the page."""
        with path.open("rb") as file:
            response = httpx.post(f"{self.url}/predict", files={"video": file}, timeout=60)
        answer: dict[str, Any] = response.json()
        return answer
