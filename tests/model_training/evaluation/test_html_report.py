"""The HTML report: self-contained, with escaped labels and file names."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from model_training.datasets.examples import Example
from model_training.evaluation.baselines import Baselines
from model_training.evaluation.exported_model import VideoPrediction
from model_training.evaluation.html_report import report_html
from model_training.evaluation.measure import compute_metrics
from model_training.evaluation.results import evaluation_of
from tests.support.plain_manifest import plain_manifest

pytestmark = pytest.mark.tensorflow

LABELS = ("<b>calm</b>", "$fight_x$")
SCORES = {name: {"accuracy": accuracy, "macro_f1": 0.1} for name, accuracy in (("majority", 0.5), ("mean_frame", 0.9))}
BASELINES = {**SCORES, "metadata": {"accuracy": 0.4, "macro_f1": 0.1}, "num_videos": 12}
MANIFEST = plain_manifest(labels=LABELS, abstention_threshold=0.7)


class _Reader(HTMLParser):
    """Collects the URLs that a browser would load, and checks that all elements are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def report() -> str:
    """The report of twelve generated predictions, two of them wrong, one with an event."""
    rng = np.random.default_rng(0)
    predictions, examples = [], []
    for number in range(12):
        sure = float(rng.uniform(0.6, 0.95))
        attention = rng.dirichlet(np.ones(8), 2).astype(np.float32)
        predictions.append(
            VideoPrediction(
                np.array([sure, 1 - sure] if number % 2 else [1 - sure, sure]),
                None,
                attention,
                np.arange(16).reshape(2, 8) / 4,
                np.ones((2, 8), np.bool_),
                0.01,
                0.02,
            )
        )
        label = LABELS[(number + (number > 9) + 1) % 2]
        event = (0.5, 1.0) if number == 3 else None
        examples.append(Example(Path(f"/videos/{number}<i>.mp4"), (label,), f"g{number // 2}", event_seconds=event))
    evaluation = evaluation_of(
        compute_metrics(predictions, examples, MANIFEST),
        model="m",
        version="1",
        digest="sha256:0",
        folds=(4,),
        baselines=Baselines.model_validate(BASELINES),
    )
    history = [{"loss": 1.0, "accuracy": 0.5, "validation_loss": 1.1, "validation_accuracy": 0.4}] * 3
    return report_html(evaluation, predictions, examples, history, MANIFEST)


def test_all_images_are_embedded_in_the_page(report: str) -> None:
    reader = _Reader()
    reader.feed(report)
    assert reader.open == []
    assert len(reader.sources) >= 10
    assert all(source.startswith("data:image/svg+xml;base64,") for source in reader.sources)
    assert not {"script", "link", "iframe", "object", "video"} & reader.tags
    assert "default-src 'none'" in report


def test_names_are_escaped(report: str) -> None:
    assert "<b>calm" not in report
    assert "&lt;b&gt;calm" in report
    assert "&lt;i&gt;.mp4: true " in report


def test_the_most_confident_mistakes_come_first(report: str) -> None:
    wrong, right = (report.index(f"Most confident {kind} predictions") for kind in ("wrong", "correct"))
    confidences = [
        float(match) for match in re.findall(r"<p>[^<]*predicted [^<]* \((0\.\d+)\)</p>", report[wrong:right])
    ]
    assert len(confidences) == 2
    assert confidences == sorted(confidences, reverse=True)


def test_learning_curves_are_drawn_from_the_history(report: str) -> None:
    assert "Learning curves" in report


def test_a_baseline_as_good_as_the_model_is_reported(report: str) -> None:
    assert "<td>nearest mean picture in training</td><td>0.900</td>" in report
    assert "The data reveals the label: the training video with the nearest mean picture predicts 0.900" in report


def test_predicted_labels_follow_the_thresholds_of_the_manifest() -> None:
    manifest = plain_manifest(labels=("a", "b"), head="multi_label", label_thresholds=(0.3, 0.9))
    # By the most probable label all but the last would be `b`, and the second wrong.
    cases = ((("a", "b"), (0.4, 0.95)), ((), (0.2, 0.8)), (("b",), (0.35, 0.7)), (("b",), (0.5, 0.4)))
    predictions = [
        VideoPrediction(
            np.array(probabilities),
            None,
            np.full((1, 4), 0.25, np.float32),
            np.arange(4.0).reshape(1, 4),
            np.ones((1, 4), np.bool_),
            0.01,
            0.02,
        )
        for _, probabilities in cases
    ]
    examples = [Example(Path(f"/videos/{n}.mp4"), labels, f"g{n}") for n, (labels, _) in enumerate(cases)]
    metrics = compute_metrics(predictions, examples, manifest)
    assert metrics.accuracy == 0.5
    evaluation = evaluation_of(metrics, model="m", version="1", digest="sha256:0", folds=())
    page = report_html(evaluation, predictions, examples, [], manifest)
    wrong, right = (page.index(f"Most confident {kind} predictions") for kind in ("wrong", "correct"))
    assert re.findall(r"<p>([^<]*predicted [^<]*)</p>", page[wrong:right]) == [
        "3.mp4: true b, predicted a (0.500)",
        "2.mp4: true b, predicted a (0.300)",
    ]
    assert re.findall(r"<p>([^<]*predicted [^<]*)</p>", page[right:]) == [
        "0.mp4: true a, b, predicted a, b (0.400)",
        "1.mp4: true no label, predicted no label (0.200)",
    ]
