"""The right predictions, taken from the service before there is load."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from tests.support.traffic.footage import Footage
from tests.support.traffic.sender import Sender

QUERIES: tuple[dict[str, Any], ...] = ({}, {"frames": "top", "top_k": 1}, {"frames": "none"})
# Frame i of these videos has one grey level, so the label is known without the service.
_LABELS = {"dark.mp4": "dark", "ramp.mp4": "dark"}
_OF_THE_REQUEST = ("request_id", "timings_ms")


@dataclass(frozen=True)
class Golden:
    """Predictions by video name and index of `QUERIES`, without what differs between requests."""

    predictions: dict[tuple[str, int], dict[str, Any]]

    def difference(self, video: str, query: int, prediction: dict[str, Any]) -> str | None:
        """What differs between a prediction and the right one; None if they are equal bit for bit."""
        right = self.predictions[video, query]
        if (given := _comparable(prediction)) == right:
            return None
        names = sorted(name for name in given.keys() | right.keys() if given.get(name) != right.get(name))
        shown = {name: (given.get(name), right.get(name)) for name in names}
        return f"{video} with {QUERIES[query]}, given and right: {shown}"


def predict_golden(sender: Sender, footage: Footage) -> Golden:
    """Predict each video with each query, one after the other.

    Raises:
        RuntimeError: a prediction fails or has the wrong label.
    """
    predictions = {}
    for video, content in footage.good.items():
        for number, query in enumerate(QUERIES):
            response = sender.send("POST /predict", params=query, files={"video": (video, content)})
            if response is None or response.status_code != HTTPStatus.OK:
                raise RuntimeError(f"{video} is not predicted: {response and response.text}")
            prediction = response.json()
            label = prediction["prediction"]["label"]
            if label != _LABELS.get(video, label):
                raise RuntimeError(f"{video} is labelled {label!r}")
            predictions[video, number] = _comparable(prediction)
    return Golden(predictions)


def _comparable(prediction: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in prediction.items() if name not in _OF_THE_REQUEST}
