/** Requests to the service. Addresses are relative, so that the page works under any path prefix. */

import { authorization } from "./key.js";

/** The service refused a request, or could not be reached. */
export class Problem extends Error {
  /**
   * @param {string} code
   * @param {string} detail
   * @param {string} requestId
   * @param {number | null} retryAfterSeconds
   */
  constructor(code, detail, requestId = "", retryAfterSeconds = null) {
    super(detail);
    this.code = code;
    this.detail = detail;
    this.requestId = requestId;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** @returns {Promise<{state: string}>} */
export const health = async () => (await ask("health")).json();

/** @returns {Promise<ListedModel[]>} */
export const models = async () => (await (await ask("models")).json()).models;

/** @returns {Promise<Capabilities>} */
export const capabilities = async () => (await ask("capabilities")).json();

/** @param {ModelName} model */
const versionPath = (model) => `models/${encodeURIComponent(model.name)}/versions/${encodeURIComponent(model.version)}`;

/**
 * @param {ModelName} model
 * @returns {Promise<ModelDetail>}
 */
export const modelDetail = async (model) => (await ask(versionPath(model))).json();

/**
 * The model card, as Markdown.
 * @param {ModelName} model
 */
export const modelCard = async (model) => (await ask(versionPath(model), { headers: { accept: "text/markdown" } })).text();

/** @param {ModelName} model */
const modelQuery = (model) => new URLSearchParams({ model: model.name, version: model.version });

/** @param {ModelName} model */
export const predictPath = (model) => `predict?${modelQuery(model)}`;

/** @param {ModelName} model */
export const jobsPath = (model) => `jobs?${modelQuery(model)}`;

/** @param {string} jobId */
const jobPath = (jobId) => `jobs/${encodeURIComponent(jobId)}`;

/**
 * The job's events after `lastEventId`, as an open response; status 204 after the last event.
 * @param {string} jobId
 * @param {string} lastEventId  empty for all events
 * @param {AbortSignal} signal
 */
export const openEvents = (jobId, lastEventId, signal) =>
  ask(`${jobPath(jobId)}/events`, { signal, cache: "no-store", headers: lastEventId ? { "Last-Event-ID": lastEventId } : {} });

/** @param {string} jobId */
export const cancelJob = (jobId) => ask(jobPath(jobId), { method: "DELETE" });

/**
 * @param {string} path
 * @param {Omit<RequestInit, "headers"> & {headers?: Record<string, string>}} options
 */
async function ask(path, { headers = {}, ...options } = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers, ...authorization() } });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem("network", "The service did not respond.");
  }
  // /health responds with 503 until the service is ready; that response is read as well.
  if (!response.ok && path !== "health") throw problemFrom(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

/**
 * Whether the error reports that the visitor cancelled.
 * @param {unknown} error
 */
export const isAbort = (error) => error instanceof DOMException && error.name === "AbortError";

/**
 * Send one video. Resolves with the prediction or the job; rejects with a Problem or an AbortError.
 * Uses XMLHttpRequest, because fetch reports no upload progress.
 * @param {File} file
 * @param {string} path
 * @param {{onProgress: (fraction: number) => void, signal: AbortSignal, headers?: Record<string, string>}} options
 * @returns {Promise<any>}
 */
export function send(file, path, { onProgress, signal, headers = {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("video", file);
    request.open("POST", path);
    for (const [name, value] of Object.entries({ ...headers, ...authorization() })) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.upload.onload = () => onProgress(1);
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(problemFrom(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new Problem("network", "The connection broke before the response arrived."));
    request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

/**
 * @param {number} status
 * @param {string} body
 * @param {string | null} retryAfter
 */
function problemFrom(status, body, retryAfter) {
  try {
    return problemOf(JSON.parse(body), retryAfter);
  } catch {
    // The body is no problem document: another server responded.
    return new Problem("not_this_service", `Status ${status}.`);
  }
}

/**
 * The problem that a problem document of the service describes. Throws a TypeError for any other JSON.
 * @param {WireProblem} problem
 * @param {string | null} retryAfter
 */
export function problemOf({ code, detail, request_id: requestId }, retryAfter = null) {
  if (!code) throw new TypeError("no code");
  return new Problem(code, detail, requestId, retryAfter === null ? null : Number(retryAfter));
}
