"""Responses of a running service match its OpenAPI document, for generated requests and for the examples."""

import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from service.api.openapi import examples
from service.api.problem_table import TABLE
from service.app import create_app
from service.jobs.errors import JobAbandoned
from service.settings import Settings
from tests.support.grey_model import write_grey_model
from tests.support.running_service import RunningService, running_service

SAMPLE = Path(__file__).parents[2] / "samples" / "jump.mp4"
# At least two for each operation. `make fuzz` sends many more.
NUM_CASES = int(os.environ.get("NUM_CASES", "100"))
# The format of codes in descriptions of responses.
CODE = re.compile(r"`([a-z_]+)`: ")
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with every feature enabled; its models have the names that the examples use."""
    models_dir, uploads, jobs = (tmp_path_factory.mktemp(name) for name in ("models", "uploads", "jobs"))
    # The last version of the default model cannot be unloaded; the second model can.
    for name in ("fights", "events"):
        write_grey_model(models_dir, name=name, version="2")
    with running_service(
        models_dir, uploads, jobs_dir=jobs, decode_children=2, model_control=True, max_waiting_requests=100
    ) as service:
        yield service


@pytest.mark.tensorflow
def test_every_response_is_listed_in_the_openapi_document(service: RunningService) -> None:
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [result.ok() for result in document.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) > 20
    met: set[str] = set()

    for operation in operations:
        listed = operation.definition.raw["responses"]

        @settings(
            max_examples=max(2, NUM_CASES // len(operations)),
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy())
        def keeps_to_it(case: Any) -> None:
            response = case.call_and_validate(checks=CHECKS)
            # Status 500 is listed, but no request may cause it; 503 and 504 may occur.
            assert response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR
            if "application/problem+json" in response.headers["content-type"]:
                problem = response.json()
                description = listed[str(problem["status"])]["description"]  # noqa: B023 - called in this iteration
                assert f"`{problem['code']}`" in description
                met.add(problem["code"])

        keeps_to_it()
    assert "unknown_model" in met


def test_every_operation_has_an_example() -> None:
    document = create_app(Settings()).openapi()
    operations = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert set(examples()) == operations


def ask(service: RunningService, name: str, example: dict[str, Any], job_id: str) -> httpx.Response:
    """Send the request of the example, with the id of the job `job_id` and clips of the model's shape."""
    method, path = name.split(" ")
    parameters = {**example["parameters"], **({"job_id": job_id} if "{job_id}" in path else {})}
    in_path = {name: value for name, value in parameters.items() if f"{{{name}}}" in path}
    # A new key: a generated request may have used the key of the example for another video.
    in_head = {name: f"{parameters[name]}-{uuid4()}" for name in ("Idempotency-Key",) if name in parameters}
    query = {name: value for name, value in parameters.items() if name not in in_path and name not in in_head}
    body: Any = example.get("body")
    files = None
    if path.endswith("/infer"):
        (frames,) = body["inputs"]
        shape = service.client.get(f"/v2/models/{in_path['name']}").json()["inputs"][0]["shape"]
        frames["shape"] = [1, *shape[1:]]
        frames["data"] = [128] * (shape[1] * shape[2] * shape[3] * shape[4])
    elif path in ("/predict", "/validate", "/jobs") and method == "POST":
        files = {"video": SAMPLE.read_bytes()}
    content = SAMPLE.read_bytes() if method == "PUT" else None
    return service.client.request(
        method, path.format(**in_path), params=query, headers=in_head, json=body, files=files, content=content
    )


@pytest.mark.tensorflow
def test_every_example_gets_its_documented_response(service: RunningService) -> None:
    document = service.client.get("/openapi.json").json()
    # A generated request may have unloaded the model.
    service.client.post("/models/events/versions/2/load").raise_for_status()
    job_id = ""
    for name, example in examples().items():
        method, path = name.split(" ")
        answer = ask(service, name, example, job_id)
        assert answer.status_code == example["status"], (name, answer.text)
        if name == "POST /jobs":
            job_id = answer.json()["id"]
        content = document["paths"][path][method.lower()]["responses"][str(answer.status_code)].get("content", {})
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if not content:
            assert not answer.content
            continue
        told = content[media_type]
        assert told["example"] == example["response"], name
        if media_type == "application/json":
            schema = {**told["schema"], "components": document["components"]}
            jsonschema_rs.validate(schema, answer.json())
            jsonschema_rs.validate(schema, example["response"])
            assert answer.json().keys() == example["response"].keys(), name
        else:
            assert answer.text.split()[0] == example["response"].split()[0], name


def test_every_problem_is_documented_at_an_operation_and_every_operation_documents_problems() -> None:
    document = create_app(Settings()).openapi()
    operations = [operation for operations in document["paths"].values() for operation in operations.values()]
    documented = " ".join(
        response["description"] for operation in operations for response in operation["responses"].values()
    )
    for error, kind in TABLE.items():
        # Only the job itself reports this problem.
        assert (f"`{kind.code}`: {kind.meaning}" in documented) == (error is not JobAbandoned), error
    codes = {kind.code for kind in TABLE.values()}
    for operation in operations:
        for status, response in operation["responses"].items():
            for code in codes & set(CODE.findall(response["description"])):
                assert code in {kind.code for kind in TABLE.values() if str(kind.status) == status}
        assert "`internal`" in operation["responses"]["500"]["description"], operation["operationId"]
    assert "HTTPValidationError" not in str(document)
