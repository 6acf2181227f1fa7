"""The table of problems: the HTTP status, code and title of each error (RFC 9457)."""

from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError

from service import lifecycle
from service.connections import errors as connection_errors
from service.egress import errors as egress_errors
from service.inference import errors as model_errors
from service.jobs import errors as job_errors
from service.keys import errors as key_errors
from service.open_inference import errors as inference_errors
from service.prediction import errors as prediction_errors
from service.uploads import errors as upload_errors
from service.video import errors as video_errors


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One row of the table; `meaning` describes the problem in the documentation.

    The `detail` of a response is the message of the error, or `meaning` if that message is not public.
    """

    status: int
    code: str
    title: str
    meaning: str
    is_detail_public: bool = True
    retry_after_seconds: int | None = None


TABLE: dict[type[Exception], ProblemKind] = {
    upload_errors.MalformedRequest: ProblemKind(
        400,
        "malformed_request",
        "Malformed request",
        "The body is no video, valid form with exactly one `video`, or JSON with a URL; or its encoding is damaged.",
    ),
    inference_errors.MalformedInference: ProblemKind(
        400, "malformed_request", "Malformed request", "The body is not a valid inference request for this model."
    ),
    key_errors.Unauthorized: ProblemKind(
        401, "unauthorized", "Unauthorized", "The service requires an API key, and the request has no valid one."
    ),
    key_errors.Forbidden: ProblemKind(
        403, "forbidden", "Forbidden", "The API key lacks the required scope, or the operation is disabled."
    ),
    egress_errors.UrlNotAllowed: ProblemKind(
        403, "url_not_allowed", "URL not allowed", "The service may not fetch this URL, or a URL that it redirects to."
    ),
    model_errors.UnknownModel: ProblemKind(
        404, "unknown_model", "Unknown model", "The model or its version does not exist."
    ),
    job_errors.CallbackNotAllowed: ProblemKind(
        403, "callback_not_allowed", "Callback not allowed", "The service may not post to the job's callback URL."
    ),
    job_errors.UnknownJob: ProblemKind(
        404, "unknown_job", "Unknown job", "The job does not exist, or it belongs to another API key."
    ),
    job_errors.JobsDisabled: ProblemKind(404, "jobs_disabled", "Jobs disabled", "The service accepts no jobs."),
    job_errors.IdempotencyConflict: ProblemKind(
        409,
        "idempotency_conflict",
        "Idempotency conflict",
        "The `Idempotency-Key` was used before for another video or query.",
    ),
    model_errors.LastVersion: ProblemKind(
        409, "last_version", "Last version", "The last version of the default model cannot be unloaded."
    ),
    model_errors.TooManyModels: ProblemKind(
        409, "too_many_models", "Too many models", "The maximum number of models is already loaded."
    ),
    upload_errors.UploadTooSlow: ProblemKind(
        408, "upload_too_slow", "Upload too slow", "The upload paused too long, or took too long in total."
    ),
    upload_errors.UploadTooLarge: ProblemKind(
        413, "upload_too_large", "Upload too large", "The upload has more bytes than the limit."
    ),
    video_errors.VideoTooLarge: ProblemKind(
        413, "video_too_large", "Video too large", "The video has more pixels, seconds or packets than the limit."
    ),
    video_errors.UnsupportedVideo: ProblemKind(
        415, "unsupported_media", "Unsupported media", "The file is not a video of a supported container and codec."
    ),
    upload_errors.UnsupportedEncoding: ProblemKind(
        415,
        "unsupported_encoding",
        "Unsupported encoding",
        "The body has another `Content-Encoding` than gzip or deflate, or several.",
    ),
    video_errors.UnreadableVideo: ProblemKind(
        422, "unreadable_video", "Unreadable video", "No frame of the video can be decoded."
    ),
    model_errors.InvalidModel: ProblemKind(
        422,
        "invalid_model",
        "Invalid model",
        "The model on disk does not match its manifest, or its outputs differ from those at export.",
    ),
    upload_errors.UnknownField: ProblemKind(
        422, "invalid_parameter", "Invalid parameter", "The body has an unknown field."
    ),
    RequestValidationError: ProblemKind(
        422, "invalid_parameter", "Invalid parameter", "A parameter is unknown, invalid or given twice."
    ),
    prediction_errors.Busy: ProblemKind(
        429, "busy", "Busy", "All slots are taken; `Retry-After` is the number of seconds to wait."
    ),
    key_errors.RateExceeded: ProblemKind(
        429, "busy", "Busy", "The API key exceeds its rate limit; `Retry-After` is the number of seconds to wait."
    ),
    model_errors.QueueFull: ProblemKind(
        429, "busy", "Busy", "The model's queue of clips is full.", is_detail_public=False, retry_after_seconds=1
    ),
    upload_errors.StorageFull: ProblemKind(
        503, "storage_full", "Storage full", "The disk has no room for the upload.", retry_after_seconds=5
    ),
    upload_errors.StorageUnavailable: ProblemKind(
        503,
        "storage_unavailable",
        "Storage unavailable",
        "The upload cannot be stored: its directory is gone or cannot be written to.",
        retry_after_seconds=5,
    ),
    video_errors.VideoUnavailable: ProblemKind(
        503,
        "storage_unavailable",
        "Storage unavailable",
        "The upload was removed before it was decoded.",
        retry_after_seconds=5,
    ),
    job_errors.TooManyJobs: ProblemKind(
        429,
        "busy",
        "Busy",
        "The queue of jobs is full, or the API key's part of it.",
        retry_after_seconds=30,
    ),
    job_errors.TooManyListeners: ProblemKind(
        429, "busy", "Busy", "The maximum number of event streams is open.", retry_after_seconds=5
    ),
    job_errors.DatabaseUnavailable: ProblemKind(
        503,
        "database_unavailable",
        "Database unavailable",
        "The database of jobs cannot be used. `GET /health` states the reason.",
        retry_after_seconds=5,
    ),
    ChildProcessError: ProblemKind(
        503,
        "not_ready",
        "Not ready",
        "No decode worker can be started.",
        is_detail_public=False,
        retry_after_seconds=5,
    ),
    connection_errors.Overloaded: ProblemKind(
        503,
        "overloaded",
        "Overloaded",
        "The service has all the connections, or all the open files, that it may have.",
        retry_after_seconds=2,
    ),
    lifecycle.NotReady: ProblemKind(
        503, "not_ready", "Not ready", "Models are still loading, or failed to load.", retry_after_seconds=5
    ),
    prediction_errors.Draining: ProblemKind(
        503, "draining", "Draining", "The service is shutting down.", retry_after_seconds=5
    ),
    model_errors.BatcherClosed: ProblemKind(
        503, "draining", "Draining", "The service is shutting down.", is_detail_public=False, retry_after_seconds=5
    ),
    upload_errors.UrlUnreachable: ProblemKind(
        502,
        "url_unreachable",
        "URL unreachable",
        "The URL's server cannot be reached, or did not send a complete file.",
    ),
    prediction_errors.DeadlineExceeded: ProblemKind(
        504, "deadline_exceeded", "Deadline exceeded", "The prediction took longer than the deadline."
    ),
    video_errors.DecodeDeadlineExceeded: ProblemKind(
        504, "deadline_exceeded", "Deadline exceeded", "Decoding took more processor time than the limit."
    ),
    upload_errors.UrlTooSlow: ProblemKind(
        504, "url_too_slow", "URL too slow", "The URL's server paused too long, or took too long in total."
    ),
    job_errors.JobStorageFull: ProblemKind(
        507,
        "insufficient_storage",
        "Insufficient storage",
        "Jobs use all of their storage, or the API key's part of it.",
    ),
    job_errors.JobAbandoned: ProblemKind(
        500, "job_abandoned", "Job abandoned", "Each process that ran the job ended before the job did."
    ),
    video_errors.DecoderFailed: ProblemKind(
        500,
        "decoder_failed",
        "Decoder failed",
        "The decode worker failed through a fault of the service. The video may be fine.",
    ),
    model_errors.ModelFailed: ProblemKind(
        500, "internal", "Internal error", "The service failed; its log has the details.", is_detail_public=False
    ),
    Exception: ProblemKind(
        500, "internal", "Internal error", "The service failed; its log has the details.", is_detail_public=False
    ),
}
"""Every error that a response may report. An error that is not in the table is `internal`."""
