"""`GET /models` and what is below it: every ready model, its manifest and its card."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import PlainTextResponse, Response

from framewise.schemas.models import ModelDetail, ModelList, ModelState, ModelSummary
from service.inference.repository import ReadyModel
from service.state import AppState

router = APIRouter(tags=["models"])
CONTROL = APIRouter(prefix="/models/{name}/versions/{version}", tags=["models"])
"""What changes which models are loaded."""

_Name = Annotated[str, Path(max_length=64, examples=["fights"])]
_Version = Annotated[str, Path(max_length=9, examples=["2"])]


def _example(state: str) -> dict[int | str, dict[str, Any]]:
    example = {"name": "fights", "version": "2", "state": state, "detail": None}
    return {200: {"content": {"application/json": {"example": example}}}}


_CARD: dict[int | str, dict[str, object]] = {200: {"content": {"text/markdown": {}}}}


@router.get("/models", summary="Every ready model")
async def list_models(request: Request) -> ModelList:
    """The models that may be asked, by name and ascending version."""
    models = AppState.of(request).models
    return ModelList(models=[_summary(model, models.default_name) for model in models.all()])


@router.get("/models/{name}", summary="A model's latest version", response_model=ModelDetail, responses=_CARD)
async def latest_version(request: Request, name: str) -> Response | ModelDetail:
    """Everything the latest version says of itself; its card where Markdown is preferred."""
    return _detail(request, name, None)


@router.get(
    "/models/{name}/versions/{version}", summary="One version of a model", response_model=ModelDetail, responses=_CARD
)
async def one_version(request: Request, name: str, version: str) -> Response | ModelDetail:
    """Everything this version says of itself; its card where Markdown is preferred."""
    return _detail(request, name, version)


@CONTROL.post("/load", summary="Load a model's version from disk", responses=_example("ready"))
async def load(request: Request, name: _Name, version: _Version) -> ModelState:
    """Verify, load and prove it, and let it answer; a version whose files have changed takes over from itself.

    Nothing is sent to it before it has proved itself, and whatever answered before goes on until then.
    """
    await AppState.of(request).control.load(name, version)
    return ModelState(name=name, version=version, state="ready")


@CONTROL.post("/unload", summary="Unload a model's version", responses=_example("unloaded"))
async def unload(request: Request, name: _Name, version: _Version) -> ModelState:
    """Give it to no new request, wait for those in progress, and free its memory. The files stay."""
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
