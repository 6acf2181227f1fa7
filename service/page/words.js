/** Formats numbers and labels, and words warnings and problems, for the visitor. */

/** @param {number} seconds */
export const clock = (seconds) =>
  seconds < 60 ? `${seconds.toFixed(2)} s` : `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

/** A rounded duration. @param {number} seconds */
export const duration = (seconds) => (seconds < 120 ? `${Math.round(seconds)} seconds` : `${Math.round(seconds / 60)} minutes`);

/**
 * @param {number} fraction
 * @param {number} digits
 */
export const percent = (fraction, digits = 0) => `${(100 * fraction).toFixed(digits)} %`;

/** A probability, never rounded up to 100 %. @param {number} probability */
export const likely = (probability) =>
  probability > 0.99 && probability < 1 ? percent(Math.min(probability, 0.999), 1) : percent(probability);

/** @param {number} bytes */
export const size = (bytes) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** @param {string} label */
export const human = (label) => label.replaceAll("_", " ");

/**
 * The accepted labels: at most one, or any number of a multi-label model.
 * @param {Prediction} prediction
 */
export const acceptedLabels = (prediction) => prediction.probabilities.filter((row) => row.accepted).map((row) => row.label);

/** @type {Record<string, string>} */
const WARNINGS = {
  truncated_video: "The video is shorter than its file states: it was probably cut off.",
  damaged_video: "Parts of the video could not be decoded; the prediction uses the other parts.",
  black_video: "Much of the video is black.",
  darker_than_training: "Darker than nearly all training videos: the accuracy on such videos is hardly measured.",
  brighter_than_training: "Brighter than nearly all training videos: the accuracy on such videos is hardly measured.",
  blurrier_than_training: "Blurrier than nearly all training videos: the accuracy on such videos is hardly measured.",
  clock_jumped: "The timestamps of the file jump, as in joined recordings: times continue from the frame before.",
  assumed_frame_rate: "The file has no usable timestamps: times are computed from its frame rate.",
  assumed_colours: "The file states an uncommon colour space: a common one is assumed.",
  other_tracks: "The file has several video tracks: the track that players show is used.",
  frozen_video: "All frames are equal: the camera may have stopped.",
};

/** @param {{code: string, message: string}} warning */
export const warningWords = (warning) => WARNINGS[warning.code] ?? warning.message;

/**
 * The title and the remedy of each problem code. `network` and `not_this_service` are codes of the page itself.
 * @type {Record<string, [string, string]>}
 */
export const PROBLEMS = {
  malformed_request: ["The upload is malformed", "Try again. If it fails again, a proxy between you and the service may change uploads."],
  unauthorized: ["A key is needed", "This service accepts requests only with an API key. Ask its operator for one."],
  forbidden: ["This key lacks the permission", "Ask the operator of the service for a key with more permissions."],
  unknown_model: ["The model is not loaded any more", "Reload the page to see the current models."],
  upload_too_slow: ["The upload took too long", "Try a faster connection, or a shorter or smaller video."],
  upload_too_large: ["The file is too large", "Trim the video, or save it at a lower resolution."],
  video_too_large: ["The video is too long or too big", "Trim it to the relevant part, or save it at a lower resolution."],
  unsupported_encoding: ["The upload is compressed", "A proxy between you and the service changes uploads. Tell its operator."],
  unsupported_media: ["This is not a supported video", "MP4, WebM, MKV, AVI and MPEG files work."],
  unreadable_video: ["No frame of this video can be decoded", "The file is probably damaged. Check that it plays elsewhere, or export it again."],
  invalid_parameter: ["The service did not understand the request", "Reload the page; it may be older than the service."],
  busy: ["The service is busy", "It is working on other requests. Try again in a moment."],
  overloaded: ["The service has too many connections", "Other clients hold them. Try again in a moment."],
  storage_unavailable: ["The service cannot store uploads", "Tell the operator of the service, and try again later."],
  storage_full: ["The storage of the service is full", "It is working on other requests. Try again in a moment."],
  not_ready: ["The service is still starting", "Its models are loading. Try again in a moment."],
  draining: ["The service is shutting down", "Try again once it is back."],
  deadline_exceeded: ["The deadline was exceeded", "Analysing the video takes longer than the service allows. Try a shorter one."],
  decoder_failed: ["The decoder failed", "The video may be fine. Try again. If it happens again, report the request id below."],
  internal: ["An internal error occurred", "Try again. If it happens again, report the request id below."],
  not_found: ["The service does not know this address", "Reload the page; it may be older than the service."],
  method_not_allowed: ["The service refused this kind of request", "Reload the page; it may be older than the service."],
  callback_not_allowed: ["The service may not call that address", "Ask the operator of the service to allow it."],
  database_unavailable: ["The service cannot reach its database", "Try again in a moment."],
  idempotency_conflict: ["The same key was used for another request", "Reload the page and send the video again."],
  insufficient_storage: ["The storage for jobs is full", "Try again later, or ask the operator of the service."],
  invalid_model: ["The model cannot be used", "Ask the operator of the service."],
  job_abandoned: ["The service stopped at every attempt", "This video may crash the service. Try a shorter part of it."],
  jobs_disabled: ["The service accepts no jobs", "Try a shorter one."],
  last_version: ["The model cannot be unloaded", "It is the last loaded version."],
  too_many_models: ["Too many models are loaded", "Ask the operator of the service."],
  unknown_job: ["The job has expired", "Its result was deleted. Send the video again."],
  url_not_allowed: ["The service may not fetch that address", "Download the video and send the file."],
  url_too_slow: ["The download was too slow", "Download it and send the file."],
  url_unreachable: ["The video could not be downloaded", "Check its address, or download it and send the file."],
  network: ["The connection broke", "Check that the service runs and is reachable. The connection also breaks if the file is far too large."],
  not_this_service: ["Another server responded", "Check the address."],
};

/** Codes of problems that may not occur again for the same video. */
export const MAY_PASS = new Set(["busy", "database_unavailable", "deadline_exceeded", "draining", "idempotency_conflict", "insufficient_storage", "internal", "malformed_request", "network", "not_ready", "not_this_service", "overloaded", "storage_full", "storage_unavailable", "unknown_job", "unknown_model", "upload_too_slow"]);

/** @param {string} code */
export const problemWords = (code) => PROBLEMS[code] ?? ["The service refused the request", "Its message is below."];
