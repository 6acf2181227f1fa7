"""`GET /metrics`."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.api.problem_sets import AUTHORIZED, Responses, problems_of
from service.state import AppState

router = APIRouter(tags=["health"])

_RESPONSES: Responses = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
    **problems_of(AUTHORIZED),
}


@router.get("/metrics", summary="Prometheus metrics", response_class=Response, responses=_RESPONSES)
async def metrics(request: Request) -> Response:
    """Counters since the start and current gauges, in the text format of Prometheus."""
    registry = AppState.of(request).metrics.registry
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
