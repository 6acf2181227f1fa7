"""`GET /capabilities`: what this service takes, and with what it answers."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from framewise.schemas.capabilities import Capabilities, JobCapabilities, Limits, ModelCapabilities
from service.state import Parts

router = APIRouter(tags=["models"])


@router.get("/capabilities", summary="Limits, formats and engines")
async def capabilities(request: Request) -> Capabilities:
    """The limits in force, the formats that can really be decoded here, and how each ready model runs."""
    parts = Parts.of(request)
    parts.lifecycle.require_ready()
    formats = parts.formats.probed
    isolation = parts.classifier.sandbox.isolation
    assert isolation is not None, "known since the children were started"
    return Capabilities(
        limits=Limits(**_named(Limits, parts)),
        jobs=None if parts.jobs is None else JobCapabilities(**_named(JobCapabilities, parts)),
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
            for model in parts.classifier.models.all()
        ],
    )


def _named(kind: type[BaseModel], parts: Parts) -> dict[str, Any]:
    """The settings that have the names of its fields."""
    return {name: getattr(parts.settings, name) for name in kind.model_fields}
