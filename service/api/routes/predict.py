"""`POST /predict`, and `POST /validate`, which stops before the model."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from framewise.schemas.prediction import Prediction, PredictQuery, ValidateQuery, Validation
from service.api.access_log import note
from service.api.upload_body import FORM, answer_upload
from service.state import AppState

router = APIRouter(tags=["predict"])


@router.post("/predict", openapi_extra=FORM, summary="Classify a video")
async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Prediction:
    """Say what a video shows, how sure that is, and which frames the model looked at."""
    state = AppState.of(request)
    state.lifecycle.require_ready()
    prediction = await answer_upload(
        request, lambda upload: state.classifier.predict(upload, query, request.state.request_id)
    )
    _note_answer(request, prediction)
    return prediction


@router.post("/validate", openapi_extra=FORM, summary="Try a video without asking the model")
async def validate(request: Request, query: Annotated[ValidateQuery, Query()]) -> Validation:
    """Say what a video holds, which frames the model would look at, and what that would cost."""
    state = AppState.of(request)
    state.lifecycle.require_ready()
    validation = await answer_upload(
        request, lambda upload: state.classifier.validate(upload, query, request.state.request_id)
    )
    _note_answer(request, validation)
    return validation


def _note_answer(request: Request, answer: Prediction | Validation) -> None:
    note(request, model=f"{answer.model.name}/{answer.model.version}", timings_ms=answer.timings_ms.model_dump())
