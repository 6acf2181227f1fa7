/** A job followed to its end, over as many connections as it takes. By fetch: an EventSource cannot bring a key. */

import { openEvents, Problem } from "./api.js";

const ENDS = new Set(["done", "failed", "cancelled"]);
const MAX_BREAKS = 8;
const MAX_PAUSE_SECONDS = 30;
const PASSING = new Set(["network", "busy", "not_ready", "draining", "database_unavailable"]);

/** The header that makes one job of however many tries. Not randomUUID, which plain http does not have. */
export const idempotencyHeader = () => ({
  "Idempotency-Key": [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join(""),
});

/**
 * The job, once it has ended; rejects with a Problem where its events cannot be had, or an AbortError.
 * @param {{onEvent: (event: object) => void, onBreak: () => void, signal: AbortSignal}} options
 */
export async function followJob(jobId, { onEvent, onBreak, signal }) {
  let lastEventId = "";
  let numBreaks = 0;
  for (;;) {
    let retrySeconds = Math.min(2 ** numBreaks, MAX_PAUSE_SECONDS);
    try {
      const response = await openEvents(jobId, lastEventId, signal);
      for await (const event of events(response.body)) {
        numBreaks = 0;
        lastEventId = event.id || lastEventId;
        const data = JSON.parse(event.data);
        if (ENDS.has(event.event)) return data;
        onEvent(data);
      }
    } catch (error) {
      if (signal.aborted) throw new DOMException("Cancelled", "AbortError");
      // A stream that breaks while it is read is a TypeError to the browser.
      const code = error instanceof Problem ? error.code : "network";
      if (!PASSING.has(code)) throw error;
      retrySeconds = error.retryAfterSeconds ?? retrySeconds;
      if (numBreaks >= MAX_BREAKS) throw error instanceof Problem ? error : new Problem("network", error.message);
    }
    numBreaks += 1;
    onBreak();
    await pause(retrySeconds, signal);
  }
}

/** The events of a stream, as `{id, event, data}`; what breaks off unfinished is none. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value.replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").filter((line) => line !== "" && !line.startsWith(":")).map((line) => /^([^:]*):? ?(.*)$/.exec(line).slice(1));
      // A comment alone is a heartbeat.
      if (fields.length > 0) yield Object.fromEntries(fields);
    }
  }
}

/** Resolves after `seconds`, or at once when cancelled. */
export const pause = (seconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
