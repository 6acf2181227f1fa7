/** Everything the page says: numbers, labels, warnings and problems, in words for people. */

/** @param {number} seconds */
export const clock = (seconds) =>
  seconds < 60 ? `${seconds.toFixed(2)} s` : `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

/** A length of time in round words. @param {number} seconds */
export const duration = (seconds) => (seconds < 120 ? `${Math.round(seconds)} seconds` : `${Math.round(seconds / 60)} minutes`);

/** @param {number} share */
export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;

/** A probability; never rounded up to certainty. @param {number} probability */
export const likely = (probability) =>
  probability > 0.99 && probability < 1 ? percent(Math.min(probability, 0.999), 1) : percent(probability);

/** @param {number} bytes */
export const size = (bytes) =>
  bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** @param {string} label */
export const human = (label) => label.replaceAll("_", " ");

/** The labels that the model stands by: one of all as a rule, any number where they do not exclude each other. */
export const acceptedLabels = (prediction) => prediction.probabilities.filter((row) => row.accepted).map((row) => row.label);

const WARNINGS = {
  truncated_video: "The video is shorter than its file claims: it was probably cut off.",
  damaged_video: "Parts of the video could not be read; the answer rests on what could.",
  black_video: "Much of the video is black: there is little to see.",
  darker_than_training: "Darker than nearly all videos the model learned from: how well it does here was hardly measured.",
  brighter_than_training: "Brighter than nearly all videos the model learned from: how well it does here was hardly measured.",
  blurrier_than_training: "Blurrier than nearly all videos the model learned from: how well it does here was hardly measured.",
  clock_jumped: "The file's clock jumps, as in recordings that were joined: times carry on from the frame before.",
  assumed_frame_rate: "The file has no usable times: they were counted at its frame rate.",
  assumed_colours: "The file names colours in an uncommon way: usual ones were assumed.",
  other_tracks: "The file holds several pictures side by side: the one that players show was looked at.",
  frozen_video: "The picture never changes: the camera may have stopped.",
};

/** @param {{code: string, message: string}} warning */
export const warningWords = (warning) => WARNINGS[warning.code] ?? warning.message;

/**
 * Problem code -> [what happened, what to do about it]. `network` and `not_this_service` are the page's own.
 * @type {Record<string, [string, string]>}
 */
export const PROBLEMS = {
  malformed_request: ["The upload arrived garbled", "Try once more. If it happens again, something between you and the service alters uploads."],
  unauthorized: ["A key is needed", "This service answers only to callers with a key. Ask whoever runs it."],
  forbidden: ["This key may not do that", "Ask whoever runs the service for a key with more rights."],
  unknown_model: ["That model is gone", "Reload the page to see the models there are now."],
  upload_too_slow: ["The upload took too long", "Try a faster connection, or a shorter or smaller video."],
  upload_too_large: ["The file is too large", "Trim the video, or save it at a lower resolution."],
  video_too_large: ["The video is too long or too big", "Trim it to the part that matters, or save it at a lower resolution."],
  unsupported_media: ["This is not a video we can read", "MP4, WebM, MKV, AVI and MPEG files work."],
  unreadable_video: ["Nothing in this video can be decoded", "The file is probably damaged. Check that it plays elsewhere, or export it again."],
  invalid_parameter: ["The service did not understand the question", "Reload the page; it may be older than the service."],
  busy: ["The service is busy", "Others are being answered. Try again in a moment."],
  storage_full: ["The service has no room at the moment", "Others are being answered. Try again in a moment."],
  not_ready: ["The service is still starting", "Its models are loading. Try again in a moment."],
  draining: ["The service is shutting down", "Try again once it is back."],
  deadline_exceeded: ["No answer in time", "The video takes longer to look at than the service allows. Try a shorter one."],
  decoder_failed: ["Something broke on our side", "The video may be fine. Try again. If it happens again, report the request id below."],
  internal: ["Something broke on our side", "Try again. If it happens again, report the request id below."],
  not_found: ["The service does not know this address", "Reload the page; it may be older than the service."],
  method_not_allowed: ["The service refused this kind of request", "Reload the page; it may be older than the service."],
  callback_not_allowed: ["The service may not call that address", "Ask whoever runs the service to allow it."],
  database_unavailable: ["The service cannot reach its records", "Try again in a moment."],
  idempotency_conflict: ["This video was sent before, otherwise", "Reload the page and send it once more."],
  insufficient_storage: ["The service has no room for long videos", "Try again later, or ask whoever runs the service."],
  invalid_model: ["That model cannot be used", "Ask whoever runs the service."],
  job_abandoned: ["The service broke off again and again", "Something in this video ends its work. Try a shorter part of it."],
  jobs_disabled: ["The service takes no long videos", "Try a shorter one."],
  last_version: ["That model cannot be taken away", "It is the last one there is."],
  too_many_models: ["No room for another model", "Ask whoever runs the service."],
  unknown_job: ["The service has forgotten this video", "It was kept for a while and then deleted. Send it once more."],
  url_not_allowed: ["The service may not fetch that address", "Download the video and send the file."],
  url_too_slow: ["The video came too slowly", "Download it and send the file."],
  url_unreachable: ["The video could not be fetched", "Check its address, or download it and send the file."],
  network: ["The connection broke", "Check that the service runs and is reachable. A file that is far too large is also cut off like this."],
  not_this_service: ["The answer made no sense", "Something other than this service answered. Check the address."],
};

/** Problems that the same video may not meet again. */
export const MAY_PASS = new Set(["busy", "database_unavailable", "deadline_exceeded", "draining", "idempotency_conflict", "insufficient_storage", "internal", "malformed_request", "network", "not_ready", "not_this_service", "storage_full", "unknown_job", "unknown_model", "upload_too_slow"]);

/** @param {string} code */
export const problemWords = (code) => PROBLEMS[code] ?? ["The service said no", "What it said is below."];
