"""The parts of the OpenAPI document that FastAPI does not generate: schemas and examples.

Each operation has an example request and response in `documentation/examples.json`; a test sends them to a service.
"""

import json
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from framewise.schemas.problem import Problem
from service.api.routes.page import DOCUMENTATION_DIR
from service.open_inference.schemas import InferenceRequest


def complete_openapi(app: FastAPI) -> None:
    """Add schemas and examples to the OpenAPI document of `app`, when it is first requested."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            _add_schemas(document)
            _remove_default_422(document)
            _add_examples(document)
        return plain()

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it


def examples() -> dict[str, dict[str, Any]]:
    """Return, by operation such as `POST /predict`, the example `parameters`, `status` and `response`."""
    loaded: dict[str, dict[str, Any]] = json.loads((DOCUMENTATION_DIR / "examples.json").read_text(encoding="utf-8"))
    # The operations that receive a video do the same by PUT.
    return loaded | {f"PUT {path}": loaded[f"POST {path}"] for path in ("/predict", "/validate", "/jobs")}


def _add_schemas(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, InferenceRequest):
        schemas.update(_with_parts(model))
    # FastAPI's schemas of a 422 response, which this service does not use.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)


def _remove_default_422(document: dict[str, Any]) -> None:
    """Remove the 422 responses that FastAPI adds to routes with parameters and no 422 of their own."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]


def _with_parts(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs", {}), model.__name__: schema}


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
