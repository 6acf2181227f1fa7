"""`GET /health`, `/health/live`, `/health/ready`."""

from fastapi import APIRouter, Request, Response

from framewise.schemas.models import Health
from service.api.problem_sets import ANY, Responses, problems_of
from service.state import AppState

router = APIRouter(tags=["health"])

_PROBLEMS = problems_of(ANY)
_NOT_READY: Responses = {503: {"model": Health, "description": "Not ready"}, **_PROBLEMS}


@router.get("/health", responses=_NOT_READY, summary="State of the service and of each model")
@router.get("/health/ready", responses=_NOT_READY, summary="Whether the service answers predictions")
async def health(request: Request, response: Response) -> Health:
    """200 while the service answers predictions; 503 during the start, after a failed start and while it drains.

    `degraded` is 200: predictions are answered, and the parts that do not work are listed.
    """
    lifecycle = AppState.of(request).lifecycle
    response.status_code = 200 if lifecycle.is_ready else 503
    return lifecycle.health()


@router.get("/health/live", responses=_PROBLEMS, summary="Whether the process responds")
async def live() -> dict[str, str]:
    """200 while the event loop runs."""
    return {"state": "live"}
