/** The user's videos, asked about one after another. Knows nothing of how they are shown. */

import { cancelJob, jobsPath, predictPath, Problem, problemOf, send } from "./api.js";
import { followJob, idempotencyHeader, pause } from "./jobs.js";
import { forgetJob, keepJob } from "./kept.js";
import { size } from "./words.js";

const MAX_ATTEMPTS = 5;
const PASSING = new Set(["busy", "not_ready", "draining", "storage_full"]);
const GONE = new Set(["unknown_job", "jobs_disabled"]);

/**
 * @typedef {object} Item
 * @property {File | {name: string, size: number}} file
 * @property {string | null} url  blob address of the user's own file; null where a reload has lost it
 * @property {"waiting" | "sending" | "finding" | "queued" | "looking" | "reconnecting" | "retrying" | "done" | "failed" | "cancelled"} state
 * @property {number} share  of the file that is sent
 * @property {number} since  when this state began, in ms
 * @property {number} retrySeconds  until it is asked again
 * @property {string | null} jobId  of the job it was sent as
 * @property {{num_clips_done: number, num_clips: number} | null} clips  how far that job is
 * @property {object | null} prediction
 * @property {Problem | null} problem
 */

export class Queue extends EventTarget {
  /** @type {Item[]} */
  items = [];
  /** @type {() => {name: string, version: string}} */
  #chosenModel;
  #limits;
  #isRunning = false;
  #abort = new AbortController();

  /**
   * @param {() => {maxBytes: number, jobs: object | null}} limits  larger files are refused here, before they are
   *   sent for nothing; `jobs` says which are sent as jobs
   */
  constructor(chosenModel, limits) {
    super();
    this.#chosenModel = chosenModel;
    this.#limits = limits;
  }

  /** Add files at the end; returns the first of them. */
  add(files) {
    const added = [...files].map((file) => ({ file, url: URL.createObjectURL(file), ...FRESH }));
    this.items.push(...added);
    this.#run();
    return added[0];
  }

  /** Go on with jobs that were sent before the page was reloaded; returns the latest of them. */
  pickUp(jobs) {
    const found = jobs.map(({ id, name, size }) => ({ file: { name, size }, url: null, ...FRESH, jobId: id }));
    this.items.push(...found);
    this.#run();
    return found.at(-1);
  }

  /** Give a file back to the item that a reload took it from; returns that item, or undefined where there is none. */
  reunite(file) {
    const item = this.items.find((other) => other.url === null && other.file.name === file.name && other.file.size === file.size);
    if (item === undefined) return undefined;
    this.#set(item, { file, url: URL.createObjectURL(file) });
    if (item.state === "failed" || item.state === "cancelled") this.again(item);
    return item;
  }

  /** Ask about one of the videos once more; about one that is not here any more, how far its job is. */
  again(item) {
    this.#set(item, { ...FRESH, jobId: item.url === null ? item.jobId : null });
    this.#run();
  }

  /** Take back a video that is not answered yet. */
  cancel(item) {
    if (item === this.#current) return this.#abort.abort();
    this.#set(item, { state: "cancelled" });
    if (item.jobId !== null) void this.#cancelJob(item.jobId);
  }

  #current = null;

  async #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let item; (item = this.items.find((other) => other.state === "waiting")); ) {
      this.#current = item;
      await this.#answer(item);
    }
    this.#current = null;
    this.#isRunning = false;
  }

  async #answer(item) {
    const { maxBytes, jobs } = this.#limits();
    // Before the page was reloaded.
    const isSent = item.jobId !== null;
    if (!isSent && item.file.size > maxBytes) return this.#set(item, { state: "failed", problem: tooLarge(item.file.size, maxBytes) });
    this.#abort = new AbortController();
    const { signal } = this.#abort;
    const isForJob = !isSent && jobs !== null && (await isLong(item, jobs));
    const headers = isForJob ? idempotencyHeader() : {};
    for (let attempt = 1; ; attempt += 1) {
      try {
        const prediction = isSent ? await this.#follow(item, signal) : await this.#ask(item, isForJob, headers, signal);
        this.#set(item, { state: "done", prediction, problem: null });
        return;
      } catch (error) {
        if (error.name === "AbortError") return this.#set(item, { state: "cancelled" });
        const problem = error instanceof Problem ? error : new Problem("not_this_service", error.message);
        // An upload of a job may be sent again without harm, the other kind is not worth a second try.
        const mayPass = PASSING.has(problem.code) || (problem.code === "network" && isForJob && item.jobId === null);
        if (!mayPass || attempt === MAX_ATTEMPTS) return this.#set(item, { state: "failed", problem });
        const retrySeconds = Math.min(problem.retryAfterSeconds ?? 1, 30);
        this.#set(item, { state: "retrying", retrySeconds, problem });
        await pause(retrySeconds, signal);
        if (signal.aborted) return this.#set(item, { state: "cancelled" });
      }
    }
  }

  async #ask(item, isForJob, headers, signal) {
    this.#set(item, { state: "sending", share: 0 });
    if (!isForJob) return this.#send(item, predictPath(this.#chosenModel()), {}, signal);
    const { id } = await this.#send(item, jobsPath(this.#chosenModel()), headers, signal);
    this.#set(item, { state: "queued", jobId: id });
    keepJob({ id, name: item.file.name, size: item.file.size });
    return this.#follow(item, signal);
  }

  #send(item, path, headers, signal) {
    const onProgress = (share) => this.#set(item, { state: share < 1 ? "sending" : "looking", share });
    return send(item.file, path, { onProgress, signal, headers });
  }

  /** The prediction of a job, its clips counted meanwhile; cancelling ends the job too. */
  async #follow(item, signal) {
    const { jobId } = item;
    if (item.state !== "queued") this.#set(item, { state: "finding" });
    const onEvent = ({ state, progress }) => this.#set(item, { state: state === "queued" ? "queued" : "looking", clips: progress });
    const onBreak = () => this.#set(item, { state: "reconnecting" });
    try {
      const job = await followJob(jobId, { onEvent, onBreak, signal });
      if (job.state !== "done") forgetJob(jobId);
      if (job.state === "cancelled") throw new DOMException("Cancelled", "AbortError");
      if (job.state === "failed") throw problemOf(job.problem);
      return job.result;
    } catch (error) {
      if (signal.aborted) await this.#cancelJob(jobId);
      if (GONE.has(error.code)) forgetJob(jobId);
      throw error;
    }
  }

  /** Somebody who leaves does not hold up those who wait; a job that is gone already is as good. */
  async #cancelJob(jobId) {
    forgetJob(jobId);
    await cancelJob(jobId).catch(() => null);
  }

  #set(item, change) {
    if ("state" in change && change.state !== item.state) change = { ...change, since: performance.now() };
    Object.assign(item, change);
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
  }
}

const tooLarge = (bytes, maxBytes) => new Problem("upload_too_large", `The file has ${size(bytes)}; at most ${size(maxBytes)} are taken.`);

const FRESH = { state: "waiting", share: 0, since: 0, retrySeconds: 0, jobId: null, clips: null, prediction: null, problem: null };

/** Whether the video is long, or large where the browser cannot tell how long it is. */
async function isLong(item, { job_from_seconds: seconds, job_from_bytes: bytes }) {
  const duration = await durationSeconds(item.url);
  return Number.isFinite(duration) ? duration >= seconds : item.file.size >= bytes;
}

/** The length of a video; NaN where the browser cannot play it, infinite where its file does not say. */
function durationSeconds(url) {
  return new Promise((resolve) => {
    const video = document.createElement("video");
    video.onloadedmetadata = video.onerror = () => resolve(video.duration);
    video.preload = "metadata";
    video.src = url;
  });
}
