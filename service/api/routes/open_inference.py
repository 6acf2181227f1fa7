"""The Open Inference Protocol, version 2, for clients that bring clips instead of videos."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from service.api.upload_body import answer_upload
from service.inference.repository import ReadyModel
from service.open_inference.codec import model_metadata
from service.open_inference.schemas import InferenceResponse, ModelMetadata, ModelReady, ServerMetadata
from service.state import AppState

HEALTH = APIRouter(prefix="/v2", tags=["open inference"])
"""What asks for no key."""
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
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "model": InferenceResponse,
        "description": "The tensors asked for, those with `binary_data` after the JSON",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "headers": {
            _HEADER_LENGTH: {
                "description": "How many bytes of the answer are JSON, where others follow.",
                "schema": {"type": "integer"},
            }
        },
    }
}
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": dict[str, bool], "description": "Not ready"}}
_HeaderLength = Annotated[int | None, Header(alias=_HEADER_LENGTH, ge=0)]


# The protocol's text writes it without a slash at its end, its OpenAPI with one.
@HEALTH.get("/", include_in_schema=False)
@HEALTH.get("", summary="Name and extensions of the server")
async def server(request: Request) -> ServerMetadata:
    """Which server this is, in which version, and what it speaks beyond the protocol."""
    return ServerMetadata(name="framewise", version=request.app.version, extensions=["binary_tensor_data"])


@HEALTH.get("/health/live", summary="Whether the process answers")
async def live() -> dict[str, bool]:
    """200 as long as the event loop turns."""
    return {"live": True}


@HEALTH.get("/health/ready", responses=_NOT_READY, summary="Whether inference is answered")
async def ready(request: Request, response: Response) -> dict[str, bool]:
    """200 when inference is answered, 503 otherwise."""
    is_ready = AppState.of(request).lifecycle.is_ready
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready}


@HEALTH.get("/models/{name}/ready", summary="Whether a model answers")
async def model_ready(request: Request, name: str) -> ModelReady:
    """200 for a model that answers, 404 for any other."""
    return ModelReady(name=_model(request, name, None).stored.manifest.name, ready=True)


@HEALTH.get("/models/{name}/versions/{version}/ready", summary="Whether a model's version answers")
async def version_ready(request: Request, name: str, version: str) -> ModelReady:
    """200 for a version that answers, 404 for any other."""
    return ModelReady(name=_model(request, name, version).stored.manifest.name, ready=True)


@router.get("/models/{name}", summary="What a model takes and gives")
async def metadata(request: Request, name: str) -> ModelMetadata:
    """Names, types and shapes of the tensors of the model's latest version."""
    return _metadata(request, name, None)


@router.get("/models/{name}/versions/{version}", summary="What a model's version takes and gives")
async def version_metadata(request: Request, name: str, version: str) -> ModelMetadata:
    """Names, types and shapes of the version's tensors."""
    return _metadata(request, name, version)


@router.post("/models/{name}/infer", openapi_extra=_BODY, responses=_ANSWER, summary="Ask a model about clips")
async def infer(request: Request, name: str, num_json_bytes: _HeaderLength = None) -> Response:
    """Probabilities and attention for each clip, by the model's latest version."""
    return await _infer(request, name, None, num_json_bytes)


@router.post(
    "/models/{name}/versions/{version}/infer",
    openapi_extra=_BODY,
    responses=_ANSWER,
    summary="Ask a model's version about clips",
)
async def version_infer(request: Request, name: str, version: str, num_json_bytes: _HeaderLength = None) -> Response:
    """Probabilities and attention for each clip, by this version."""
    return await _infer(request, name, version, num_json_bytes)


def _metadata(request: Request, name: str, version: str | None) -> ModelMetadata:
    manifest = _model(request, name, version).stored.manifest
    everything = AppState.of(request).models.all()
    versions = [other.stored.manifest.version for other in everything if other.stored.manifest.name == name]
    return model_metadata(manifest, versions)


async def _infer(request: Request, name: str, version: str | None, num_json_bytes: int | None) -> Response:
    state = AppState.of(request)
    state.lifecycle.require_ready()
    body, num_json_bytes_answered = await answer_upload(
        request, lambda upload: state.classifier.infer(upload, num_json_bytes, name, version)
    )
    if num_json_bytes_answered is None:
        return Response(body, media_type="application/json")
    headers = {_HEADER_LENGTH: str(num_json_bytes_answered)}
    return Response(body, media_type="application/octet-stream", headers=headers)


def _model(request: Request, name: str, version: str | None) -> ReadyModel:
    return AppState.of(request).models.get(name, version)
