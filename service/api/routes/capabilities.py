"""`GET /capabilities`: what this service takes, and with what it answers."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from framewise.schemas.capabilities import Capabilities, JobCapabilities, Limits, ModelCapabilities
from service.state import AppState

router = APIRouter(tags=["models"])


@router.get("/capabilities", summary="Limits, formats and engines")
async def capabilities(request: Request) -> Capabilities:
    """The limits in force, the formats that can really be decoded here, and how each ready model runs."""
    state = AppState.of(request)
    state.lifecycle.require_ready()
    formats = state.formats.probed
    isolation = state.sandbox.isolation
    assert isolation is not None, "known since the children were started"
    return Capabilities(
        limits=Limits(**_named(Limits, state)),
        jobs=None if state.jobs is None else JobCapabilities(**_named(JobCapabilities, state)),
        isolation=isolation,
        containers=sorted(formats.containers),
        codecs=sorted(formats.codecs),
        models=[
            ModelCapabilities(
                name=model.stored.manifest.name,
                version=model.stored.manifest.version,
                engine=model.engine,
                device=model.device,
                batch_sizes=list(model.batch_sizes),
            )
            for model in state.models.all()
        ],
    )


def _named(kind: type[BaseModel], state: AppState) -> dict[str, Any]:
    """The settings that have the names of its fields."""
    return {name: getattr(state.settings, name) for name in kind.model_fields}
