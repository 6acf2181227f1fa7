"""`/predict`, and `/validate`, which does the same without the model; each by POST or PUT."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from framewise.schemas.prediction import Prediction, PredictQuery, ValidateQuery, Validation
from service.api.access_log import note
from service.api.problem_sets import CLASSIFIED, DECODED, problems_of
from service.api.upload_body import VIDEO_BODY, respond_to_upload
from service.state import AppState

router = APIRouter(tags=["predict"])

_PREDICTED = problems_of(DECODED | CLASSIFIED)
_VALIDATED = problems_of(DECODED)


# `curl -T` sends PUT.
@router.put("/predict", openapi_extra=VIDEO_BODY, responses=_PREDICTED, summary="Classify a video, sent by PUT")
@router.post("/predict", openapi_extra=VIDEO_BODY, responses=_PREDICTED, summary="Classify a video")
async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Prediction:
    """Classify a video: the labels with their probabilities, and the attention of the model by frame."""
    state = AppState.of(request)
    state.lifecycle.require_ready()
    prediction = await respond_to_upload(
        request, lambda upload: state.classifier.predict(upload, query, request.state.request_id)
    )
    _note_model_and_timings(request, prediction)
    return prediction


@router.put("/validate", openapi_extra=VIDEO_BODY, responses=_VALIDATED, summary="Check a video, sent by PUT")
@router.post(
    "/validate", openapi_extra=VIDEO_BODY, responses=_VALIDATED, summary="Check a video without classifying it"
)
async def validate(request: Request, query: Annotated[ValidateQuery, Query()]) -> Validation:
    """Decode a video without the model: its properties, the frames that the model would get, and the cost."""
    state = AppState.of(request)
    state.lifecycle.require_ready()
    validation = await respond_to_upload(
        request, lambda upload: state.classifier.validate(upload, query, request.state.request_id)
    )
    _note_model_and_timings(request, validation)
    return validation


def _note_model_and_timings(request: Request, response: Prediction | Validation) -> None:
    model = f"{response.model.name}/{response.model.version}"
    note(request, model=model, timings_ms=response.timings_ms.model_dump())
