"""`GET /capabilities`: the limits, formats and models of this service."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from framewise.schemas.capabilities import Capabilities, JobCapabilities, Limits, ModelCapabilities
from service.api.problem_sets import AUTHORIZED, problems_of
from service.lifecycle import NotReady
from service.state import AppState

router = APIRouter(tags=["models"])


@router.get("/capabilities", responses=problems_of(AUTHORIZED | {NotReady}), summary="Limits, formats and engines")
async def capabilities(request: Request) -> Capabilities:
    """The limits in force, the formats that this machine can decode, and the engine of each ready model."""
    state = AppState.of(request)
    state.lifecycle.require_ready()
    formats = state.formats.probed
    isolation = state.sandbox.isolation
    assert isolation is not None, "known after the decode workers have started"
    return Capabilities(
        limits=Limits(**_settings_of(Limits, state)),
        jobs=None if state.jobs is None else JobCapabilities(**_settings_of(JobCapabilities, state)),
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


def _settings_of(kind: type[BaseModel], state: AppState) -> dict[str, Any]:
    """Return the settings that have the names of the fields of `kind`."""
    return {name: getattr(state.settings, name) for name in kind.model_fields}
