/** The visitor's videos, sent one after another. Does not know how they are shown. */

import { cancelJob, isAbort, jobsPath, predictPath, Problem, problemOf, send } from "./api.js";
import { followJob, idempotencyHeader, pause } from "./jobs.js";
import { forgetJob, keepJob } from "./kept.js";
import { size } from "./words.js";

const MAX_ATTEMPTS = 5;
const PASSING = new Set(["busy", "not_ready", "draining", "storage_full"]);
const GONE = new Set(["unknown_job", "jobs_disabled"]);

/**
 * @typedef {object} Item
 * @property {File | {name: string, size: number}} file
 * @property {string | null} url  blob address of the visitor's file; null after a reload
 * @property {"waiting" | "sending" | "finding" | "queued" | "looking" | "reconnecting" | "retrying" | "done" | "failed" | "cancelled"} state
 * @property {number} share  fraction of the file that has been sent
 * @property {number} since  start of this state, in milliseconds of `performance.now()`
 * @property {number} retrySeconds  time from `since` to the next attempt
 * @property {string | null} jobId  id of the job, if the video was submitted as a job
 * @property {JobProgress | null} clips  progress of the job
 * @property {Prediction | null} prediction
 * @property {Problem | null} problem
 */

export class Queue extends EventTarget {
  /** @type {Item[]} */
  items = [];
  /** @type {() => ModelName} */
  #chosenModel;
  /** @type {() => {maxBytes: number, jobs: JobLimits | null}} */
  #limits;
  #isRunning = false;
  #abort = new AbortController();

  /**
   * @param {() => ModelName} chosenModel
   * @param {() => {maxBytes: number, jobs: JobLimits | null}} limits  larger files are refused without sending them;
   *   `jobs` says which videos are submitted as jobs
   */
  constructor(chosenModel, limits) {
    super();
    this.#chosenModel = chosenModel;
    this.#limits = limits;
  }

  /**
   * Add files at the end. Returns the first new item.
   * @param {File[]} files
   */
  add(files) {
    const added = files.map((file) => ({ ...newItem(file), url: URL.createObjectURL(file) }));
    this.items.push(...added);
    this.#run();
    return added[0];
  }

  /**
   * Follow jobs that were submitted before the page was reloaded. Returns the latest item.
   * @param {StoredJob[]} jobs  at least one
   */
  pickUp(jobs) {
    const found = jobs.map(({ id, ...file }) => ({ ...newItem(file), jobId: id }));
    this.items.push(...found);
    this.#run();
    return found[found.length - 1];
  }

  /**
   * Attach a file to the item that lost it in a reload. Returns that item, or undefined if there is none.
   * @param {File} file
   */
  reunite(file) {
    const item = this.items.find((other) => other.url === null && other.file.name === file.name && other.file.size === file.size);
    if (item === undefined) return undefined;
    this.#set(item, { file, url: URL.createObjectURL(file) });
    if (item.state === "failed" || item.state === "cancelled") this.again(item);
    return item;
  }

  /**
   * Send one of the videos again. If its file was lost in a reload, its job is followed again.
   * @param {Item} item
   */
  again(item) {
    this.#set(item, { ...INITIAL, jobId: item.url === null ? item.jobId : null });
    this.#run();
  }

  /**
   * Cancel a video that has no prediction yet.
   * @param {Item} item
   */
  cancel(item) {
    if (item === this.#current) {
      this.#abort.abort();
      return;
    }
    this.#set(item, { state: "cancelled" });
    if (item.jobId !== null) void this.#cancelJob(item.jobId);
  }

  /** @type {Item | null} */
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

  /** @param {Item} item */
  async #answer(item) {
    const { maxBytes, jobs } = this.#limits();
    // It was submitted before the page was reloaded.
    const isSent = item.jobId !== null;
    if (!isSent && item.file.size > maxBytes) {
      this.#set(item, { state: "failed", problem: tooLarge(item.file.size, maxBytes) });
      return;
    }
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
        if (isAbort(error)) {
          this.#set(item, { state: "cancelled" });
          return;
        }
        const problem = error instanceof Problem ? error : new Problem("not_this_service", /** @type {Error} */ (error).message);
        // Submitting a job is idempotent; a prediction whose connection broke is not sent again.
        const mayPass = PASSING.has(problem.code) || (problem.code === "network" && isForJob && item.jobId === null);
        if (!mayPass || attempt === MAX_ATTEMPTS) {
          this.#set(item, { state: "failed", problem });
          return;
        }
        const retrySeconds = Math.min(problem.retryAfterSeconds ?? 1, 30);
        this.#set(item, { state: "retrying", retrySeconds, problem });
        await pause(retrySeconds, signal);
        if (signal.aborted) {
          this.#set(item, { state: "cancelled" });
          return;
        }
      }
    }
  }

  /**
   * @param {Item} item
   * @param {boolean} isForJob
   * @param {Record<string, string>} headers
   * @param {AbortSignal} signal
   * @returns {Promise<Prediction>}
   */
  async #ask(item, isForJob, headers, signal) {
    this.#set(item, { state: "sending", share: 0 });
    if (!isForJob) return this.#send(item, predictPath(this.#chosenModel()), {}, signal);
    const { id } = await this.#send(item, jobsPath(this.#chosenModel()), headers, signal);
    this.#set(item, { state: "queued", jobId: id });
    keepJob({ id, name: item.file.name, size: item.file.size });
    return this.#follow(item, signal);
  }

  /**
   * @param {Item} item
   * @param {string} path
   * @param {Record<string, string>} headers
   * @param {AbortSignal} signal
   */
  #send(item, path, headers, signal) {
    /** @param {number} share */
    const onProgress = (share) => this.#set(item, { state: share < 1 ? "sending" : "looking", share });
    return send(/** @type {File} */ (item.file), path, { onProgress, signal, headers });
  }

  /**
   * The prediction of a job. Shows its progress meanwhile; an abort cancels the job.
   * @param {Item} item
   * @param {AbortSignal} signal
   * @returns {Promise<Prediction>}
   */
  async #follow(item, signal) {
    const jobId = item.jobId ?? "";
    if (item.state !== "queued") this.#set(item, { state: "finding" });
    /** @param {Job} job */
    const onEvent = ({ state, progress }) => this.#set(item, { state: state === "queued" ? "queued" : "looking", clips: progress });
    const onBreak = () => this.#set(item, { state: "reconnecting" });
    try {
      const job = await followJob(jobId, { onEvent, onBreak, signal });
      if (job.state !== "done") forgetJob(jobId);
      if (job.state === "cancelled") throw new DOMException("Cancelled", "AbortError");
      if (job.result !== null) return job.result;
      throw problemOf(job.problem ?? { code: "not_this_service", detail: "The job has no result." });
    } catch (error) {
      if (signal.aborted) await this.#cancelJob(jobId);
      if (error instanceof Problem && GONE.has(error.code)) forgetJob(jobId);
      throw error;
    }
  }

  /**
   * Cancel the job, so that it does not delay other jobs. A failure is ignored: the job may have ended.
   * @param {string} jobId
   */
  async #cancelJob(jobId) {
    forgetJob(jobId);
    await cancelJob(jobId).catch(() => null);
  }

  /**
   * @param {Item} item
   * @param {Partial<Item>} change
   */
  #set(item, change) {
    const isNewState = change.state !== undefined && change.state !== item.state;
    Object.assign(item, change, isNewState ? { since: performance.now() } : {});
    this.dispatchEvent(new CustomEvent("change", { detail: item }));
  }
}

/**
 * @param {number} bytes
 * @param {number} maxBytes
 */
const tooLarge = (bytes, maxBytes) => new Problem("upload_too_large", `The file has ${size(bytes)}; the service accepts up to ${size(maxBytes)}.`);

/** @type {Omit<Item, "file" | "url">} */
const INITIAL = { state: "waiting", share: 0, since: 0, retrySeconds: 0, jobId: null, clips: null, prediction: null, problem: null };

/**
 * @param {Item["file"]} file
 * @returns {Item}
 */
const newItem = (file) => ({ file, url: null, ...INITIAL });

/**
 * Whether the video is long; whether it is large if the browser cannot tell its length.
 * @param {Item} item
 * @param {JobLimits} jobs
 */
async function isLong(item, { job_from_seconds: seconds, job_from_bytes: bytes }) {
  const duration = await durationSeconds(item.url ?? "");
  return Number.isFinite(duration) ? duration >= seconds : item.file.size >= bytes;
}

/**
 * The length of a video: NaN if the browser cannot play it, infinite if the file does not state it.
 * @param {string} url
 * @returns {Promise<number>}
 */
function durationSeconds(url) {
  return new Promise((resolve) => {
    const video = document.createElement("video");
    video.onloadedmetadata = video.onerror = () => resolve(video.duration);
    video.preload = "metadata";
    video.src = url;
  });
}
