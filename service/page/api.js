/** The service as the page sees it. Addresses are relative: the page works under any prefix. */

import { authorization } from "./key.js";

/** The service said no, or could not be reached. */
export class Problem extends Error {
  constructor(code, detail, requestId = "", retryAfterSeconds = null) {
    super(detail);
    Object.assign(this, { code, detail, requestId, retryAfterSeconds });
  }
}

export const health = async () => (await ask("health")).json();

export const models = async () => (await (await ask("models")).json()).models;

export const capabilities = async () => (await ask("capabilities")).json();

const versionPath = (model) => `models/${encodeURIComponent(model.name)}/versions/${encodeURIComponent(model.version)}`;

export const modelDetail = async (model) => (await ask(versionPath(model))).json();

export const modelCard = async (model) => (await ask(versionPath(model), { headers: { accept: "text/markdown" } })).text();

const modelQuery = (model) => new URLSearchParams({ model: model.name, version: model.version });

export const predictPath = (model) => `predict?${modelQuery(model)}`;

export const jobsPath = (model) => `jobs?${modelQuery(model)}`;

const jobPath = (jobId) => `jobs/${encodeURIComponent(jobId)}`;

/** The job's events from `lastEventId` on, as an open response; 204 where there are none left. */
export const openEvents = (jobId, lastEventId, signal) =>
  ask(`${jobPath(jobId)}/events`, { signal, cache: "no-store", headers: lastEventId ? { "Last-Event-ID": lastEventId } : {} });

export const cancelJob = (jobId) => ask(jobPath(jobId), { method: "DELETE" });

async function ask(path, { headers = {}, ...options } = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers, ...authorization() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("network", "No answer from the service.");
  }
  // A service that is not ready says so with a 503, which is an answer to /health.
  if (!response.ok && path !== "health") throw problemFrom(response.status, await response.text(), response.headers.get("Retry-After"));
  return response;
}

/**
 * Send one video; resolves with the answer, a prediction or a job, rejects with a Problem, or an AbortError.
 * XMLHttpRequest, because fetch does not tell how much of a body is sent.
 * @param {File} file
 * @param {{onProgress: (share: number) => void, signal: AbortSignal, headers?: Record<string, string>}} options
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
    request.onerror = () => reject(new Problem("network", "The connection broke before the answer was there."));
    request.onabort = () => reject(new DOMException("Cancelled", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function problemFrom(status, body, retryAfter) {
  try {
    return problemOf(JSON.parse(body), retryAfter);
  } catch {
    // Not a problem of ours: whatever answered is not this service.
    return new Problem("not_this_service", `Status ${status}.`);
  }
}

/** A problem as the service writes it; throws where it is none. */
export function problemOf({ code, detail, request_id: requestId }, retryAfter = null) {
  if (!code) throw new TypeError("no code");
  return new Problem(code, detail, requestId, retryAfter === null ? null : Number(retryAfter));
}
