"""The Open Inference Protocol of a running service."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.api.openapi import examples
from tests.support.grey_model import SPEC
from tests.support.open_inference_schemas import SCHEMAS
from tests.support.running_service import RunningService, running_service

pytestmark = pytest.mark.tensorflow

CLIP_SHAPE = (SPEC.num_frames, SPEC.height, SPEC.width, 3)
INFER = "/v2/models/grey/infer"


@pytest.fixture(scope="module")
def small(grey_models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service whose limit for bodies is three clips in binary."""
    max_bytes = 3 * int(np.prod(CLIP_SHAPE)) + 1000
    with running_service(grey_models_dir, tmp_path_factory.mktemp("uploads"), max_inference_bytes=max_bytes) as service:
        yield service


def clips(*levels: int) -> NDArray[np.uint8]:
    """One clip for each grey level."""
    return np.stack([np.full(CLIP_SHAPE, level, dtype=np.uint8) for level in levels])


def tensor(name: str, datatype: str, values: NDArray[np.generic]) -> dict[str, object]:
    """A tensor in the JSON form of the protocol."""
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": values.ravel().tolist()}


def outputs(response: dict[str, object]) -> dict[str, NDArray[np.float32]]:
    """The tensors of a response in JSON."""
    listed = response["outputs"]
    assert isinstance(listed, list)
    return {row["name"]: np.array(row["data"], dtype=np.float32).reshape(row["shape"]) for row in listed}


def assert_refused(response: httpx.Response, status: int, reason: str) -> None:
    """Check that the response is an error in the form of the protocol."""
    assert response.status_code == status, response.text
    assert list(response.json()) == ["error"]
    assert reason in response.json()["error"]
    assert "x-request-id" in response.headers


def test_the_metadata_of_server_and_models(shared_service: RunningService) -> None:
    get = shared_service.client.get
    server = get("/v2").json()
    assert (server["name"], server["extensions"]) == ("framewise", ["binary_tensor_data"])
    assert server["version"] == get("/openapi.json").json()["info"]["version"]
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"ready": True}
    assert get("/v2/models/grey/ready").json() == {"name": "grey", "ready": True}
    model = get("/v2/models/grey").json()
    assert model == get("/v2/models/grey/versions/1").json()
    assert (model["name"], model["versions"]) == ("grey", ["1"])
    assert model["inputs"] == [
        {"name": "frames", "datatype": "UINT8", "shape": [-1, 8, 32, 32, 3]},
        {"name": "valid", "datatype": "BOOL", "shape": [-1, 8]},
    ]
    assert model["outputs"] == [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        {"name": "attention", "datatype": "FP32", "shape": [-1, 8]},
    ]


def test_every_response_matches_the_schema_of_the_protocol(shared_service: RunningService) -> None:
    client = shared_service.client
    versioned = "/v2/models/grey/versions/1"
    request = {"inputs": [tensor("frames", "UINT8", clips(51))]}
    only_one = {**request, "id": "42", "outputs": [{"name": "attention"}], "parameters": {"priority": 1}}
    responses = [
        *((client.get(path), 200, "metadata_server_response") for path in ("/v2", "/v2/")),
        (client.get("/v2/health/live"), 200, "live_server_response"),
        (client.get("/v2/health/ready"), 200, "ready_server_response"),
        *((client.get(f"{path}/ready"), 200, "ready_model_response") for path in ("/v2/models/grey", versioned)),
        *((client.get(path), 200, "metadata_model_response") for path in ("/v2/models/grey", versioned)),
        *((client.post(path, json=request), 200, "inference_response") for path in (INFER, f"{versioned}/infer")),
        (client.post(INFER, json=only_one), 200, "inference_response"),
        *((client.get(f"/v2/models/nope{rest}"), 404, "error_response") for rest in ("", "/ready", "/versions/1")),
        (client.post(INFER, json={}), 400, "error_response"),
        (client.post("/v2/models/nope/infer", json=request), 404, "error_response"),
        (client.get("/v2/nope"), 404, "error_response"),
    ]
    for response, status, schema in responses:
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json"
        jsonschema_rs.validate(SCHEMAS[schema], response.json())
    assert responses[10][0].json()["id"] == "42"


def test_the_examples_of_the_documentation_match_the_schema_of_the_protocol() -> None:
    requests = [example["body"] for name, example in examples().items() if name.endswith("/infer")]
    assert len(requests) == 2
    for request in requests:
        jsonschema_rs.validate(SCHEMAS["inference_request"], request)


NAMES = st.sampled_from(["frames", "valid", "probabilities", "attention", "input0", ""])
SCALARS = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text(max_size=3))
DATA = st.recursive(st.lists(SCALARS, max_size=6), lambda rows: st.lists(rows, max_size=3), max_leaves=4)
PARAMETERS = st.dictionaries(st.sampled_from(["binary_data", "binary_data_size", "priority"]), SCALARS, max_size=2)
INPUT = st.fixed_dictionaries(
    {
        "name": NAMES,
        "shape": st.lists(st.integers(-1, 2**64 - 1), max_size=6),
        "datatype": st.sampled_from(["UINT8", "BOOL", "FP32", "BYTES", "INT64", ""]),
        "data": DATA,
    },
    optional={"parameters": PARAMETERS},
)
REQUEST = st.fixed_dictionaries(
    {"inputs": st.lists(INPUT, max_size=3)},
    optional={
        "id": st.text(max_size=8),
        "parameters": PARAMETERS,
        "outputs": st.lists(
            st.fixed_dictionaries({"name": NAMES}, optional={"parameters": PARAMETERS}), min_size=1, max_size=3
        ),
        "priority": st.integers(),
    },
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(request=REQUEST)
def test_every_valid_request_of_the_protocol_gets_a_response_in_its_form(
    shared_service: RunningService, request: dict[str, object]
) -> None:
    jsonschema_rs.validate(SCHEMAS["inference_request"], request)
    response = shared_service.client.post(INFER, json=request)
    # Random tensors never have the shape of the model's.
    assert response.status_code == 400
    jsonschema_rs.validate(SCHEMAS["error_response"], response.json())


def test_clips_in_json_are_classified(shared_service: RunningService) -> None:
    valid = np.array([[True] * 8, [True] * 2 + [False] * 6])
    request = {"id": "seven", "inputs": [tensor("frames", "UINT8", clips(51, 204)), tensor("valid", "BOOL", valid)]}
    for path in (INFER, "/v2/models/grey/versions/1/infer"):
        response = shared_service.client.post(path, json=request).raise_for_status().json()
        assert (response["model_name"], response["model_version"], response["id"]) == ("grey", "1", "seven")
        found = outputs(response)
        assert found["probabilities"] == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8]]), abs=1e-6)
        assert found["attention"][0] == pytest.approx(np.full(8, 1 / 8))
        assert found["attention"][1].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]


def test_nested_data_equals_flat_data(shared_service: RunningService) -> None:
    flat = tensor("frames", "UINT8", clips(51))
    nested = {**flat, "data": clips(51).tolist()}
    responses = [
        shared_service.client.post(INFER, json={"inputs": [row]}).raise_for_status().json() for row in (flat, nested)
    ]
    assert responses[0] == responses[1]


def test_binary_tensors_get_bit_identical_outputs(shared_service: RunningService) -> None:
    frames = clips(*range(0, 250, 10))
    valid = np.ones(frames.shape[:2], dtype=np.bool_)
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "datatype": datatype,
                    "shape": list(values.shape),
                    "parameters": {"binary_data_size": values.nbytes},
                }
                for name, datatype, values in (("frames", "UINT8", frames), ("valid", "BOOL", valid))
            ],
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
        }
    ).encode()
    response = shared_service.client.post(
        INFER,
        content=header + frames.tobytes() + valid.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(header))},
    ).raise_for_status()
    num_json_bytes = int(response.headers["inference-header-content-length"])
    (output,) = json.loads(response.content[:num_json_bytes])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(response.content) - num_json_bytes
    found = np.frombuffer(response.content[num_json_bytes:], dtype="<f4").reshape(output["shape"])
    alone = shared_service.client.post(INFER, json={"inputs": [tensor("frames", "UINT8", frames[7:8])]}).json()
    assert found[7].tolist() == outputs(alone)["probabilities"][0].tolist()


FRAMES = tensor("frames", "UINT8", clips(51))
NO_FRAME_VALID = tensor("valid", "BOOL", np.zeros((1, 8), dtype=np.bool_))


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ([], "frames must be"),
        ([FRAMES, FRAMES], "twice"),
        ([{**FRAMES, "name": "pixels"}], "no input 'pixels'"),
        ([{**FRAMES, "datatype": "FP32"}], "datatype"),
        ([{**FRAMES, "shape": [1, 8, 32, 32]}], "declared shape"),
        ([{**FRAMES, "shape": [-1, 8, 32, 32, -3]}], "declared shape"),
        ([{**FRAMES, "shape": [1] * 70 + [24576]}], "declared shape"),
        ([{**FRAMES, "shape": [10**400]}], "declared shape"),
        ([{**FRAMES, "shape": [8, 32, 32, 3]}], "frames must be"),
        ([{**FRAMES, "shape": [0, 8, 32, 32, 3], "data": []}], "not all UINT8"),
        ([{**FRAMES, "data": [256] * 24576}], "not all UINT8"),
        ([{**FRAMES, "data": [-1] * 24576}], "not all UINT8"),
        ([{**FRAMES, "data": [0.5] * 24576}], "not all UINT8"),
        ([{**FRAMES, "data": ["a"] * 24576}], "not all UINT8"),
        ([{**FRAMES, "data": [10**30] * 24576}], "not all UINT8"),
        ([{**FRAMES, "data": [[1], [1, 2]]}], "not a tensor"),
        ([{**FRAMES, "data": None}], "not all UINT8"),
        ([{**FRAMES, "data": None, "parameters": {"binary_data_size": 24576}}], "is missing"),
        ([{**FRAMES, "data": None, "parameters": {"binary_data_size": "all"}}], "is missing"),
        ([FRAMES, {**NO_FRAME_VALID, "data": [1] * 8}], "not all BOOL"),
        ([FRAMES, NO_FRAME_VALID], "at least one valid frame"),
        ([FRAMES, {**NO_FRAME_VALID, "shape": [2, 4]}], "valid must be"),
        ("none", "inputs"),
    ],
)
def test_tensors_that_do_not_match_the_model_are_refused(
    shared_service: RunningService, inputs: object, reason: str
) -> None:
    assert_refused(shared_service.client.post(INFER, json={"inputs": inputs}), 400, reason)


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[" * 100_000, b"\xff\xfe", b"NaN"])
def test_a_body_that_is_not_a_request_is_refused(shared_service: RunningService, body: bytes) -> None:
    assert_refused(shared_service.client.post(INFER, content=body), 400, "")


def test_a_wrong_header_length_is_refused(shared_service: RunningService) -> None:
    body = json.dumps({"inputs": [FRAMES]}).encode()

    def post(content: bytes, length: object) -> httpx.Response:
        return shared_service.client.post(
            INFER, content=content, headers={"Inference-Header-Content-Length": str(length)}
        )

    assert_refused(post(body, len(body) + 1), 400, "shorter")
    assert_refused(post(body + b"x", len(body)), 400, "belong to no tensor")
    assert_refused(post(body, -1), 422, "")
    assert_refused(post(body, "many"), 422, "")


def test_unknown_models_outputs_and_paths_get_errors_of_the_protocol(shared_service: RunningService) -> None:
    client = shared_service.client
    assert_refused(client.get("/v2/models/nope"), 404, "nope")
    assert_refused(client.get("/v2/models/nope/ready"), 404, "nope")
    assert_refused(client.get("/v2/models/grey/versions/9"), 404, "9")
    assert_refused(client.post("/v2/models/nope/infer", json={"inputs": [FRAMES]}), 404, "nope")
    assert_refused(client.post(INFER, json={"inputs": [FRAMES], "outputs": [{"name": "logits"}]}), 400, "logits")
    assert_refused(client.get("/v2/nowhere"), 404, "")
    assert_refused(client.get(INFER), 405, "")


def test_a_body_above_the_limit_is_refused_and_one_within_it_is_not(small: RunningService) -> None:
    def post(frames: NDArray[np.uint8]) -> httpx.Response:
        values = {"binary_data_size": frames.nbytes}
        row = {"name": "frames", "datatype": "UINT8", "shape": list(frames.shape), "parameters": values}
        header = json.dumps({"inputs": [row]}).encode()
        length = {"Inference-Header-Content-Length": str(len(header))}
        return small.client.post(INFER, content=header + frames.tobytes(), headers=length)

    assert post(clips(1, 2, 3)).status_code == 200
    assert_refused(post(clips(1, 2, 3, 4)), 413, "larger")
    bomb = gzip.compress(bytes(100 << 20))
    assert_refused(small.client.post(INFER, content=bomb, headers={"Content-Encoding": "gzip"}), 413, "larger")


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_tensors_get_the_outputs_of_the_same_tensors(
    shared_service: RunningService, encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    """`tritonclient` compresses like this; the length of its JSON is that before the compression."""
    frames = clips(51, 204)
    row = {"name": "frames", "datatype": "UINT8", "shape": list(frames.shape)}
    as_json = json.dumps({"inputs": [{**row, "data": frames.ravel().tolist()}]}).encode()
    header = json.dumps({"inputs": [{**row, "parameters": {"binary_data_size": frames.nbytes}}]}).encode()
    post = shared_service.client.post
    plain = post(INFER, content=as_json).raise_for_status().json()["outputs"]
    for body, headers in (
        (as_json, {}),
        (header + frames.tobytes(), {"Inference-Header-Content-Length": str(len(header))}),
    ):
        response = post(INFER, content=compress(body), headers={"Content-Encoding": encoding} | headers)
        assert response.raise_for_status().json()["outputs"] == plain
    refused = post(INFER, content=as_json, headers={"Content-Encoding": "br"})
    assert_refused(refused, 415, "gzip or deflate")
    assert refused.headers["accept-encoding"] == "gzip, deflate"
    assert_refused(post(INFER, content=as_json, headers={"Content-Encoding": encoding}), 400, encoding)


def test_strings_of_very_different_lengths_are_refused_before_memory_is_allocated(
    shared_service: RunningService,
) -> None:
    """In an array of strings, each takes the size of the longest: 150 kB of JSON became a gigabyte."""
    data = ["a" * 5000, *[""] * 30_000]
    tensor = {"name": "frames", "datatype": "UINT8", "shape": [1], "data": data}
    refused = shared_service.client.post("/v2/models/grey/infer", json={"inputs": [tensor]})
    assert refused.status_code == 400
    assert "UINT8" in refused.json()["error"]


def test_a_repeated_output_is_refused(shared_service: RunningService) -> None:
    outputs = [{"name": "attention"}] * 2
    refused = shared_service.client.post("/v2/models/grey/infer", json={"inputs": [], "outputs": outputs})
    assert refused.status_code == 400
    assert "twice" in refused.json()["error"]
    many = shared_service.client.post("/v2/models/grey/infer", json={"inputs": [], "outputs": outputs * 10_000})
    assert many.status_code == 400
    assert len(many.content) < 500
