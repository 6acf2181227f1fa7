"""`GET /models`: every ready model, its manifest and its card; and the loading and unloading of models."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import PlainTextResponse, Response

from framewise.schemas.models import ModelDetail, ModelList, ModelState, ModelSummary
from service.api.problem_sets import AUTHORIZED, OF_MODELS, Errors, Responses, problems_of
from service.inference.errors import InvalidModel, LastVersion, TooManyModels
from service.inference.repository import ReadyModel
from service.lifecycle import NotReady
from service.state import AppState
from service.video.errors import DecoderFailed

router = APIRouter(tags=["models"])
CONTROL = APIRouter(prefix="/models/{name}/versions/{version}", tags=["models"])
"""The routes that load and unload models."""

_Name = Annotated[str, Path(max_length=64, examples=["fights"])]
_Version = Annotated[str, Path(max_length=9, examples=["2"])]


def _changed(state: str, errors: Errors) -> Responses:
    example = {"name": "fights", "version": "2", "state": state, "detail": None}
    return {200: {"content": {"application/json": {"example": example}}}, **problems_of(errors)}


_DETAIL: Responses = {200: {"content": {"text/markdown": {}}}, **problems_of(OF_MODELS)}
_LOADED = _changed("ready", OF_MODELS | {NotReady, InvalidModel, TooManyModels, DecoderFailed})
_UNLOADED = _changed("unloaded", OF_MODELS | {NotReady, LastVersion})


@router.get("/models", responses=problems_of(AUTHORIZED), summary="Every ready model")
async def list_models(request: Request) -> ModelList:
    """The ready models, sorted by name and ascending version."""
    models = AppState.of(request).models
    return ModelList(models=[_summary(model, models.default_name) for model in models.all()])


@router.get("/models/{name}", summary="The latest version of a model", response_model=ModelDetail, responses=_DETAIL)
async def latest_version(request: Request, name: str) -> Response | ModelDetail:
    """The manifest and card of the latest version; with `Accept: text/markdown` the card as Markdown."""
    return _detail(request, name, None)


@router.get(
    "/models/{name}/versions/{version}", summary="One version of a model", response_model=ModelDetail, responses=_DETAIL
)
async def one_version(request: Request, name: str, version: str) -> Response | ModelDetail:
    """The manifest and card of this version; with `Accept: text/markdown` the card as Markdown."""
    return _detail(request, name, version)


@CONTROL.post("/load", summary="Load a version of a model from disk", responses=_LOADED)
async def load(request: Request, name: _Name, version: _Version) -> ModelState:
    """Load a version, or load it again if its files have changed.

    The version is verified and its golden clips are replayed before it gets requests. Until then, the loaded version
    with the same number continues to answer.
    """
    await AppState.of(request).control.load(name, version)
    return ModelState(name=name, version=version, state="ready")


@CONTROL.post("/unload", summary="Unload a version of a model", responses=_UNLOADED)
async def unload(request: Request, name: _Name, version: _Version) -> ModelState:
    """Send this version no new requests, wait for its requests in progress, and free its memory. The files stay."""
    await AppState.of(request).control.unload(name, version)
    return ModelState(name=name, version=version, state="unloaded")


def _detail(request: Request, name: str, version: str | None) -> Response | ModelDetail:
    models = AppState.of(request).models
    model = models.get(name, version)
    if "text/markdown" in request.headers.get("accept", ""):
        return PlainTextResponse(model.stored.card, media_type="text/markdown")
    return ModelDetail(
        **_summary(model, models.default_name).model_dump(),
        manifest=model.stored.manifest.model_dump(mode="json"),
        card=model.stored.card_json,
        batch_sizes=list(model.batch_sizes),
        sees_training_pixels=model.sees_training_pixels,
    )


def _summary(model: ReadyModel, default_name: str | None) -> ModelSummary:
    manifest = model.stored.manifest
    return ModelSummary(
        name=manifest.name,
        version=manifest.version,
        digest=model.stored.digest,
        is_default=manifest.name == default_name,
        description=manifest.description,
        labels=list(manifest.labels),
    )
