"""What OpenAPI says beyond what FastAPI can know: the problems an operation may meet, and examples.

Every operation lists those of `service.problems.TABLE` that it may meet, and has an example of what is asked
and of what is answered, from `documentation/examples.json`; a test asks a running service just that.
"""

import json
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from service.open_inference import InferenceRequest
from service.problems import OPEN_INFERENCE, TABLE
from service.routes.page import DOCUMENTATION_DIR
from service.schemas import Problem

# Only who sends a body meets these.
_OF_BODIES = {400, 408, 413, 415, 502, 504, 507}
_PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
_PROTOCOL_ERROR = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    }
}


def complete_openapi(app: FastAPI) -> None:
    """Have the OpenAPI of `app` tell problems and examples; made once, when it is first asked for."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _add_schemas(document)
            _add_problems(document)
            _add_examples(document)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's own way to change it


def examples() -> dict[str, dict[str, Any]]:
    """By operation, as `POST /predict`: `parameters` to ask with, `status` and `response` that come back."""
    loaded: dict[str, dict[str, Any]] = json.loads((DOCUMENTATION_DIR / "examples.json").read_text(encoding="utf-8"))
    return loaded


def _add_schemas(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, InferenceRequest):
        schemas.update(_with_parts(model))
    # FastAPI's idea of a 422, which is not ours.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _with_parts(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


def _add_problems(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        content = _PROTOCOL_ERROR if f"{path}/".startswith(OPEN_INFERENCE) else _PROBLEM
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            for status in sorted({kind.status for kind in TABLE.values()}):
                if method == "post" or status not in _OF_BODIES:
                    responses.setdefault(str(status), _response(status, content))


def _response(status: int, content: dict[str, Any]) -> dict[str, Any]:
    meanings = dict.fromkeys(f"`{kind.code}`: {kind.meaning}" for kind in TABLE.values() if kind.status == status)
    response: dict[str, Any] = {"description": " ".join(meanings), "content": content}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        response["headers"] = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}
    return response


def _add_examples(document: dict[str, Any]) -> None:
    for name, example in examples().items():
        method, path = name.split(" ")
        operation = document["paths"][path][method.lower()]
        for parameter in operation.get("parameters", ()):
            if parameter["name"] in example["parameters"]:
                parameter["example"] = example["parameters"][parameter["name"]]
        if "body" in example:
            operation["requestBody"]["content"]["application/json"]["example"] = example["body"]
        content = operation["responses"][str(example["status"])].get("content", {})
        if "response" in example:
            next(iter(content.values()))["example"] = example["response"]
