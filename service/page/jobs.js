/** Follows a job until it ends and reconnects where needed. Uses fetch, because EventSource cannot send a key. */

import { openEvents, Problem } from "./api.js";

const ENDS = new Set(["done", "failed", "cancelled"]);
const MAX_BREAKS = 8;
const MAX_PAUSE_SECONDS = 30;
const PASSING = new Set(["network", "busy", "not_ready", "draining", "database_unavailable"]);

/** A header that makes repeated submissions one job. `randomUUID` is not available over plain http. */
export const idempotencyHeader = () => ({
  "Idempotency-Key": [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
});

/**
 * The job after it has ended. Rejects with a Problem if its events cannot be read, or with an AbortError.
 * @param {string} jobId
 * @param {{onEvent: (job: Job) => void, onBreak: () => void, signal: AbortSignal}} options
 * @returns {Promise<Job>}
 */
export async function followJob(jobId, { onEvent, onBreak, signal }) {
  let lastEventId = "";
  let numBreaks = 0;
  for (;;) {
    let retrySeconds = Math.min(2 ** numBreaks, MAX_PAUSE_SECONDS);
    try {
      const response = await openEvents(jobId, lastEventId, signal);
      for await (const { id, event, data } of events(response.body ?? new Blob().stream())) {
        numBreaks = 0;
        lastEventId = id ?? lastEventId;
        const job = JSON.parse(data ?? "null");
        if (ENDS.has(event ?? "")) return job;
        onEvent(job);
      }
    } catch (error) {
      if (signal.aborted) throw new DOMException("Cancelled", "AbortError");
      // If the stream breaks while it is read, the browser throws a TypeError.
      const problem = error instanceof Problem ? error : new Problem("network", /** @type {Error} */ (error).message);
      if (!PASSING.has(problem.code) || numBreaks >= MAX_BREAKS) throw problem;
      retrySeconds = problem.retryAfterSeconds ?? retrySeconds;
    }
    numBreaks += 1;
    onBreak();
    await pause(retrySeconds, signal);
  }
}

/**
 * The complete events of a stream.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body
 * @returns {AsyncGenerator<{id?: string, event?: string, data?: string}>}
 */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const fields = block.split("\n").filter((line) => line !== "" && !line.startsWith(":")).map((line) => /^([^:]*):? ?(.*)$/.exec(line)?.slice(1) ?? []);
      // A block of comments only is a heartbeat.
      if (fields.length > 0) yield Object.fromEntries(fields);
    }
  }
}

/**
 * Resolves after `seconds`, or when the signal aborts.
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export const pause = (seconds, signal) =>
  new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener("abort", end, { once: true });
  });
