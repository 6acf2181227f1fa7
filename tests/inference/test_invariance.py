"""Properties of the shipped models' outputs in both engines: batch invariance and masking."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.inference.batch_sizes import verified_batch_sizes
from service.inference.engine import Engine
from service.inference.manifest import read_manifest
from service.video.clip import ClipSpec
from tests.inference.test_engine import ENGINES, loader_of

pytestmark = pytest.mark.tensorflow

MODEL_DIR = Path(__file__).parents[2] / "models" / "events" / "2"
SPEC = read_manifest(MODEL_DIR).clip

Frames = NDArray[np.uint8]
Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """The small shipped model, in one engine, then in the other."""
    return loader_of(request.param)(MODEL_DIR, read_manifest(MODEL_DIR))


@pytest.fixture(scope="module")
def batch_sizes(engine: Engine) -> list[int]:
    """The verified batch sizes of this model in this engine."""
    sizes = verified_batch_sizes(engine.run, (SPEC.num_frames, SPEC.height, SPEC.width, 3), [1, 2, 4])
    assert len(sizes) > 1
    return sizes


def random_clip(seed: int, spec: ClipSpec = SPEC) -> Frames:
    """A clip of coarse, moving patches: on noise every model predicts the same."""
    coarse = np.random.default_rng(seed).integers(0, 256, (spec.num_frames, 4, 4, 3), dtype=np.uint8)
    frames = coarse.repeat(-(-spec.height // 4), axis=1).repeat(-(-spec.width // 4), axis=2)
    return np.ascontiguousarray(frames[:, : spec.height, : spec.width])


def run_batch(engine: Engine, clips: list[tuple[Frames, int]]) -> Outputs:
    """The outputs for clips, each with its number of valid frames."""
    valid = np.array([np.arange(SPEC.num_frames) < count for _, count in clips])
    return engine.run(np.stack([frames for frames, _ in clips]), valid)


COUNTS = st.integers(1, SPEC.num_frames)
CLIPS = st.tuples(st.integers(0, 99).map(partial(random_clip)), COUNTS)
many_cases: Callable[..., Callable[..., None]] = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@many_cases
@given(clip=CLIPS, mates=st.lists(CLIPS, min_size=3, max_size=3), data=st.data())
def test_outputs_do_not_depend_on_neighbours_row_or_batch_size(
    engine: Engine,
    batch_sizes: list[int],
    clip: tuple[Frames, int],
    mates: list[tuple[Frames, int]],
    data: st.DataObject,
) -> None:
    size = data.draw(st.sampled_from(batch_sizes[1:]), "batch size")
    row = data.draw(st.integers(0, size - 1), "row")
    batch = [*mates[:row], clip, *mates[row : size - 1]]
    alone, together = run_batch(engine, [clip]), run_batch(engine, batch)
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_array_equal(found[row], expected[0])


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(clips=st.lists(CLIPS, min_size=2, max_size=6))
def test_outputs_do_not_depend_on_concurrent_calls(engine: Engine, clips: list[tuple[Frames, int]]) -> None:
    if engine.name == "openvino":
        pytest.skip("OpenVINO runs one call at a time")
    alone = [run_batch(engine, [clip]) for clip in clips]
    with ThreadPoolExecutor(len(clips)) as pool:
        concurrent = list(pool.map(lambda clip: run_batch(engine, [clip]), clips))
    for expected, found in zip(alone, concurrent, strict=True):
        np.testing.assert_array_equal(expected[0], found[0])
        np.testing.assert_array_equal(expected[1], found[1])


@many_cases
@given(seed=st.integers(0, 99), count=COUNTS, garbage=st.integers(100, 199))
def test_a_frame_that_is_not_valid_gets_no_attention_and_changes_no_output(
    engine: Engine, seed: int, count: int, garbage: int
) -> None:
    frames = random_clip(seed)
    other = frames.copy()
    other[count:] = random_clip(garbage)[count:]
    (probabilities, attention), changed = (run_batch(engine, [(one, count)]) for one in (frames, other))
    assert (attention[0, count:] == 0).all()
    assert attention[0, :count].sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(changed[0], probabilities)
    np.testing.assert_array_equal(changed[1], attention)
