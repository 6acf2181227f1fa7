"""What holds of every answer of the models that ship, in either engine, whatever is asked beside it."""

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
from tests.inference.test_engine import ENGINES, loading_into

pytestmark = pytest.mark.tensorflow

MODEL_DIR = Path(__file__).parents[2] / "models" / "events" / "2"
SPEC = read_manifest(MODEL_DIR).clip

Frames = NDArray[np.uint8]
Answer = tuple[NDArray[np.float32], NDArray[np.float32]]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    """The small model that ships, in one engine, then in the other."""
    return loading_into(request.param)(MODEL_DIR, read_manifest(MODEL_DIR))


@pytest.fixture(scope="module")
def batch_sizes(engine: Engine) -> list[int]:
    """Those that the engine has proved for this model."""
    sizes = verified_batch_sizes(engine.run, (SPEC.num_frames, SPEC.height, SPEC.width, 3), [1, 2, 4])
    assert len(sizes) > 1
    return sizes


def picture(seed: int, spec: ClipSpec = SPEC) -> Frames:
    """A clip of coarse, moving patches: of noise every model says the same."""
    coarse = np.random.default_rng(seed).integers(0, 256, (spec.num_frames, 4, 4, 3), dtype=np.uint8)
    frames = coarse.repeat(-(-spec.height // 4), axis=1).repeat(-(-spec.width // 4), axis=2)
    return np.ascontiguousarray(frames[:, : spec.height, : spec.width])


def asked_in_a_batch(engine: Engine, clips: list[tuple[Frames, int]]) -> Answer:
    """What the engine answers for clips of which so many frames are valid."""
    valid = np.array([np.arange(SPEC.num_frames) < count for _, count in clips])
    return engine.run(np.stack([frames for frames, _ in clips]), valid)


COUNTS = st.integers(1, SPEC.num_frames)
CLIPS = st.tuples(st.integers(0, 99).map(partial(picture)), COUNTS)
law: Callable[..., Callable[..., None]] = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@law
@given(clip=CLIPS, mates=st.lists(CLIPS, min_size=3, max_size=3), data=st.data())
def test_a_clips_answer_depends_on_no_neighbour_place_or_batch_size(
    engine: Engine,
    batch_sizes: list[int],
    clip: tuple[Frames, int],
    mates: list[tuple[Frames, int]],
    data: st.DataObject,
) -> None:
    size = data.draw(st.sampled_from(batch_sizes[1:]), "batch size")
    slot = data.draw(st.integers(0, size - 1), "place")
    batch = [*mates[:slot], clip, *mates[slot : size - 1]]
    alone, together = asked_in_a_batch(engine, [clip]), asked_in_a_batch(engine, batch)
    for one, all_of_them in zip(alone, together, strict=True):
        np.testing.assert_array_equal(all_of_them[slot], one[0])


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(clips=st.lists(CLIPS, min_size=2, max_size=6))
def test_a_clips_answer_depends_on_no_call_that_runs_beside_it(engine: Engine, clips: list[tuple[Frames, int]]) -> None:
    if engine.name == "openvino":
        pytest.skip("it is called once at a time")
    alone = [asked_in_a_batch(engine, [clip]) for clip in clips]
    with ThreadPoolExecutor(len(clips)) as pool:
        beside = list(pool.map(lambda clip: asked_in_a_batch(engine, [clip]), clips))
    for one, other in zip(alone, beside, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])


@law
@given(seed=st.integers(0, 99), count=COUNTS, garbage=st.integers(100, 199))
def test_a_frame_that_is_not_valid_gets_no_attention_and_changes_nothing(
    engine: Engine, seed: int, count: int, garbage: int
) -> None:
    frames = picture(seed)
    other = frames.copy()
    other[count:] = picture(garbage)[count:]
    (probabilities, attention), changed = (asked_in_a_batch(engine, [(one, count)]) for one in (frames, other))
    assert (attention[0, count:] == 0).all()
    assert attention[0, :count].sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(changed[0], probabilities)
    np.testing.assert_array_equal(changed[1], attention)
