"""The Open Inference Protocol, version 2: inference on clips instead of videos."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from service.api.problem_sets import ANY, INFERRED, OF_MODELS, Responses, protocol_errors_of
from service.api.upload_body import respond_to_upload
from service.inference.errors import UnknownModel
from service.inference.repository import ReadyModel
from service.open_inference.codec import model_metadata
from service.open_inference.schemas import InferenceResponse, ModelMetadata, ModelReady, ServerMetadata
from service.state import AppState

HEALTH = APIRouter(prefix="/v2", tags=["open inference"])
"""The routes that need no API key."""
router = APIRouter(prefix="/v2", tags=["open inference"])

_HEADER_LENGTH = "Inference-Header-Content-Length"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/InferenceRequest"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
_INFERRED: Responses = {
    200: {
        "model": InferenceResponse,
        "description": "The requested tensors; tensors with `binary_data` follow the JSON",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            _HEADER_LENGTH: {
                "description": "Size of the JSON in bytes, if binary tensors follow it.",
                "schema": {"type": "integer"},
            }
        },
    },
    **protocol_errors_of(INFERRED),
}
_ERRORS = protocol_errors_of(ANY)
_NOT_READY: Responses = {503: {"model": dict[str, bool], "description": "Not ready"}, **_ERRORS}
_MODEL_READY = protocol_errors_of(ANY | {UnknownModel})
_METADATA = protocol_errors_of(OF_MODELS)
_HeaderLength = Annotated[int | None, Header(alias=_HEADER_LENGTH, ge=0)]


# The text of the protocol has no slash at the end of this path; its OpenAPI document has one.
@HEALTH.get("/", include_in_schema=False)
@HEALTH.get("", responses=_ERRORS, summary="Name and extensions of the server")
async def server(request: Request) -> ServerMetadata:
    """The name and version of the server, and the extensions of the protocol that it supports."""
    return ServerMetadata(name="framewise", version=request.app.version, extensions=["binary_tensor_data"])


@HEALTH.get("/health/live", responses=_ERRORS, summary="Whether the process responds")
async def live() -> dict[str, bool]:
    """200 while the event loop runs."""
    return {"live": True}


@HEALTH.get("/health/ready", responses=_NOT_READY, summary="Whether the service answers inference requests")
async def ready(request: Request, response: Response) -> dict[str, bool]:
    """200 while the service answers inference requests, 503 otherwise."""
    is_ready = AppState.of(request).lifecycle.is_ready
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready}


@HEALTH.get("/models/{name}/ready", responses=_MODEL_READY, summary="Whether a model is ready")
async def model_ready(request: Request, name: str) -> ModelReady:
    """200 for a ready model, 404 for any other."""
    return ModelReady(name=_model(request, name, None).stored.manifest.name, ready=True)


@HEALTH.get(
    "/models/{name}/versions/{version}/ready", responses=_MODEL_READY, summary="Whether a version of a model is ready"
)
async def version_ready(request: Request, name: str, version: str) -> ModelReady:
    """200 for a ready version, 404 for any other."""
    return ModelReady(name=_model(request, name, version).stored.manifest.name, ready=True)


@router.get("/models/{name}", responses=_METADATA, summary="Tensors of a model")
async def metadata(request: Request, name: str) -> ModelMetadata:
    """Names, types and shapes of the tensors of the model's latest version."""
    return _metadata(request, name, None)


@router.get("/models/{name}/versions/{version}", responses=_METADATA, summary="Tensors of a version of a model")
async def version_metadata(request: Request, name: str, version: str) -> ModelMetadata:
    """Names, types and shapes of the version's tensors."""
    return _metadata(request, name, version)


@router.post("/models/{name}/infer", openapi_extra=_BODY, responses=_INFERRED, summary="Classify clips")
async def infer(request: Request, name: str, num_json_bytes: _HeaderLength = None) -> Response:
    """Probabilities and attention for each clip, by the model's latest version."""
    return await _infer(request, name, None, num_json_bytes)


@router.post(
    "/models/{name}/versions/{version}/infer",
    openapi_extra=_BODY,
    responses=_INFERRED,
    summary="Classify clips with a version of a model",
)
async def version_infer(request: Request, name: str, version: str, num_json_bytes: _HeaderLength = None) -> Response:
    """Probabilities and attention for each clip, by this version."""
    return await _infer(request, name, version, num_json_bytes)


def _metadata(request: Request, name: str, version: str | None) -> ModelMetadata:
    manifest = _model(request, name, version).stored.manifest
    models = AppState.of(request).models.all()
    versions = [model.stored.manifest.version for model in models if model.stored.manifest.name == name]
    return model_metadata(manifest, versions)


async def _infer(request: Request, name: str, version: str | None, num_json_bytes: int | None) -> Response:
    state = AppState.of(request)
    state.lifecycle.require_ready()
    body, num_response_json_bytes = await respond_to_upload(
        request, lambda upload: state.classifier.infer(upload, num_json_bytes, name, version)
    )
    if num_response_json_bytes is None:
        return Response(body, media_type="application/json")
    headers = {_HEADER_LENGTH: str(num_response_json_bytes)}
    return Response(body, media_type="application/octet-stream", headers=headers)


def _model(request: Request, name: str, version: str | None) -> ReadyModel:
    return AppState.of(request).models.get(name, version)
