"""`GET /health`, `/health/live`, `/health/ready`."""

from fastapi import APIRouter, Request, Response

from framewise.schemas.models import Health
from service.state import AppState

router = APIRouter(tags=["health"])

_NOT_READY: dict[int | str, dict[str, object]] = {503: {"model": Health, "description": "Not ready"}}


@router.get("/health", responses=_NOT_READY, summary="State of the service and of each model")
@router.get("/health/ready", responses=_NOT_READY, summary="Whether predictions are answered")
async def health(request: Request, response: Response) -> Health:
    """200 when predictions are answered, 503 before, after, and when a model failed."""
    lifecycle = AppState.of(request).lifecycle
    response.status_code = 200 if lifecycle.is_ready else 503
    return lifecycle.health()


@router.get("/health/live", summary="Whether the process answers")
async def live() -> dict[str, str]:
    """200 as long as the event loop turns."""
    return {"state": "live"}
