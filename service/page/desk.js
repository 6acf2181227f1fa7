/** Shows one video of the queue: the player, its progress or problem, and its prediction. */

import { answerNodes, curlCommand } from "./answer.js";
import { jobsPath, predictPath } from "./api.js";
import { showCard } from "./chooser.js";
import { askForKey } from "./key.js";
import { byId, make } from "./dom.js";
import { showThumbnails } from "./thumbnails.js";
import { Timeline } from "./timeline.js";
import { MAY_PASS, percent, problemWords, size } from "./words.js";

const LONG_MS = 8000;

/** @typedef {import("./queue.js").Item} Item */

export class Desk {
  #video = byId("video", HTMLVideoElement);
  #timeline = new Timeline(byId("timeline"), (seconds) => this.#seek(seconds));
  #chooser;
  #queue;
  /** @type {Item | null} */
  #item = null;
  /** @type {string | null} */
  #url = null;
  /** @type {Prediction | null} */
  #shown = null;
  #isPlayable = true;
  #drawing = new AbortController();

  /**
   * @param {import("./chooser.js").Chooser} chooser
   * @param {import("./queue.js").Queue} queue
   */
  constructor(chooser, queue) {
    this.#chooser = chooser;
    this.#queue = queue;
    this.#followPlayhead();
    this.#video.addEventListener("error", () => this.#setPlayable(false));
    this.#video.addEventListener("loadedmetadata", () => this.#setPlayable(this.#video.videoWidth > 0));
    byId("cancel").addEventListener("click", () => this.#item && this.#queue.cancel(this.#item));
    setInterval(() => this.#item && this.#showProgress(this.#item), 500);
  }

  /**
   * Show `item`, or its changes if it is shown already.
   * @param {Item} item
   */
  show(item) {
    if (item !== this.#item || item.url !== this.#url) {
      this.#item = item;
      this.#url = item.url;
      this.#shown = null;
      this.#setPlayable(true);
      if (item.url === null) this.#video.removeAttribute("src");
      else this.#video.src = item.url;
    }
    byId("desk").hidden = false;
    this.#showProgress(item);
    this.#showTrouble(item);
    this.#showScreen();
    for (const id of ["timeline", "answer", "raw"]) byId(id).hidden = item.prediction === null;
    byId("looked").hidden = item.prediction === null || item.url === null;
    if (item.prediction === null || item.prediction === this.#shown) return;
    this.#shown = item.prediction;
    this.#showAnswer(item, item.prediction);
  }

  /**
   * @param {Item} item
   * @param {Prediction} prediction
   */
  async #showAnswer(item, prediction) {
    this.#drawing.abort();
    this.#drawing = new AbortController();
    this.#timeline.show(prediction);
    this.#timeline.moveTo(this.#video.currentTime);
    // A reloaded page has lost the file.
    if (item.url !== null) {
      showThumbnails(byId("thumbnails"), prediction, item.url, (seconds) => this.#seek(seconds), this.#drawing.signal).catch(
        // The browser cannot play the file.
        () => (byId("looked").hidden = this.#shown === prediction),
      );
    }
    byId("curl").textContent = curlCommand(item, (item.jobId === null ? predictPath : jobsPath)(prediction.model));
    byId("json").textContent = JSON.stringify(prediction, null, 2);
    const isWanted = () => this.#shown === prediction;
    this.#fillAnswer(item, prediction, null);
    const detail = await this.#chooser.detail(prediction.model).catch(() => null);
    if (!isWanted() || detail === null) return;
    this.#fillAnswer(item, prediction, detail.manifest);
    await showCard(detail, isWanted).catch(() => (byId("card").hidden = true));
  }

  /**
   * @param {Item} item
   * @param {Prediction} prediction
   * @param {Manifest | null} manifest
   */
  #fillAnswer(item, prediction, manifest) {
    const { chosen } = this.#chooser;
    const isOther = item.url !== null && chosen !== null && (chosen.name !== prediction.model.name || chosen.version !== prediction.model.version);
    const again = make("button", { type: "button", className: "button", textContent: `Use ${chosen?.name} ${chosen?.version} instead`, onclick: () => this.#queue.again(item) });
    byId("answer").replaceChildren(...answerNodes(prediction, manifest, isOther ? [again] : []));
  }

  /** Another model was selected: offer to use it, or show its card if there is no prediction yet. */
  async modelChanged() {
    const { chosen } = this.#chooser;
    const [item, prediction] = [this.#item, this.#shown];
    if (chosen === null) return;
    if (item === null || prediction === null) {
      const isWanted = () => this.#shown === null && chosen === this.#chooser.chosen;
      await showCard(chosen, isWanted);
      return;
    }
    const { manifest } = await this.#chooser.detail(prediction.model);
    if (this.#shown === prediction) this.#fillAnswer(item, prediction, manifest);
  }

  /** @param {Item} item */
  #showProgress({ state, share, file, since, retrySeconds, clips }) {
    /** @type {Record<string, string>} */
    const words = {
      waiting: "Waiting for the videos ahead of it",
      finding: "Requesting the job's progress",
      sending: `Sending ${size(file.size)}, ${percent(share)}`,
      queued: "Queued: the service is working on other videos",
      reconnecting: "The connection broke: reconnecting. The job continues meanwhile",
      looking: clips ? `Analysing the video: ${clips.num_clips_done} of ${clips.num_clips} clips` : performance.now() - since > LONG_MS ? `Still analysing after ${Math.round((performance.now() - since) / 1000)} s: long videos take a while` : "Analysing the video",
      retrying: `The service is busy: trying again in ${Math.max(0, Math.ceil(retrySeconds - (performance.now() - since) / 1000))} s`,
    };
    byId("progress").hidden = !(state in words);
    byId("progress").dataset.state = state;
    if (!(state in words)) return;
    byId("progress-text").textContent = words[state];
    const bar = byId("progress-bar", HTMLProgressElement);
    if (state === "sending") bar.value = share;
    else if (clips && state !== "retrying") bar.value = clips.num_clips_done / clips.num_clips;
    else bar.removeAttribute("value");
  }

  /** @param {Item} item */
  #showTrouble(item) {
    const { state, problem } = item;
    const box = byId("trouble");
    box.hidden = state !== "failed" && state !== "cancelled";
    if (box.hidden) {
      box.replaceChildren();
      return;
    }
    const [title, advice] = problem === null || state === "cancelled" ? ["Cancelled", "The video was not analysed."] : problemWords(problem.code);
    const said = problem !== null && state === "failed" ? [make("p", { className: "quiet", textContent: problem.detail })] : [];
    if (problem?.requestId && problem.code === "internal") said.push(make("p", { className: "quiet", textContent: `Request id: ${problem.requestId}` }));
    box.replaceChildren(make("h3", { textContent: title }), make("p", { textContent: advice }), ...said, this.#remedy(item));
  }

  /**
   * The button that may solve the problem: try again, or select another video.
   * @param {Item} item
   */
  #remedy(item) {
    const { state, problem } = item;
    if (problem?.code === "unauthorized") return make("button", { type: "button", className: "button", textContent: "Enter a key", onclick: () => askForKey() });
    if (item.url === null) return make("button", { type: "button", className: "button", textContent: "Choose the video again", onclick: () => byId("files").click() });
    return state === "cancelled" || problem === null || MAY_PASS.has(problem.code)
      ? make("button", { type: "button", className: "button", textContent: "Try again", onclick: () => this.#queue.again(item) })
      : make("button", { type: "button", className: "button", textContent: "Choose another video", onclick: () => byId("files").click() });
  }

  /** @param {boolean} isPlayable */
  #setPlayable(isPlayable) {
    this.#isPlayable = isPlayable;
    this.#showScreen();
  }

  /** Show the player, or a note why the video cannot be played; hide both if there is no prediction either. */
  #showScreen() {
    if (this.#item === null) return;
    const isLost = this.#item.url === null;
    byId("lost").hidden = !isLost;
    byId("unplayable").hidden = isLost || this.#isPlayable;
    this.#video.hidden = isLost || !this.#isPlayable;
    const isBare = isLost ? !byId("trouble").hidden : !this.#isPlayable && this.#item.prediction === null;
    byId("screen").hidden = isBare;
  }

  /** @param {number} seconds */
  #seek(seconds) {
    this.#video.currentTime = seconds;
    this.#timeline.moveTo(seconds);
  }

  #followPlayhead() {
    const move = () => this.#timeline.moveTo(this.#video.currentTime);
    const follow = () => {
      move();
      if (!this.#video.paused) requestAnimationFrame(follow);
    };
    this.#video.addEventListener("play", follow);
    this.#video.addEventListener("seeking", move);
    this.#video.addEventListener("seeked", move);
  }
}
