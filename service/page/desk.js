/** One video of the queue, as far as it has come: the player, progress or trouble, the answer. */

import { answerNodes, curlCommand } from "./answer.js";
import { jobsPath, predictPath } from "./api.js";
import { showCard } from "./chooser.js";
import { askForKey } from "./key.js";
import { byId, make } from "./dom.js";
import { showThumbnails } from "./thumbnails.js";
import { Timeline } from "./timeline.js";
import { MAY_PASS, percent, problemWords, size } from "./words.js";

const LONG_MS = 8000;

export class Desk {
  #video = byId("video");
  #timeline = new Timeline(byId("timeline"), (seconds) => this.#seek(seconds));
  #chooser;
  #queue;
  #item = null;
  #url = null;
  #shown = null;
  #isPlayable = true;
  #drawing = new AbortController();

  constructor(chooser, queue) {
    this.#chooser = chooser;
    this.#queue = queue;
    this.#followPlayhead();
    this.#video.addEventListener("error", () => this.#setPlayable(false));
    this.#video.addEventListener("loadedmetadata", () => this.#setPlayable(this.#video.videoWidth > 0));
    byId("cancel").addEventListener("click", () => this.#queue.cancel(this.#item));
    setInterval(() => this.#item && this.#showProgress(), 500);
  }

  /** Bring `item` onto the desk, or follow its change if it lies there already. */
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
    this.#showProgress();
    this.#showTrouble();
    this.#showScreen();
    for (const id of ["timeline", "answer", "raw"]) byId(id).hidden = item.prediction === null;
    byId("looked").hidden = item.prediction === null || item.url === null;
    if (item.prediction === null || item.prediction === this.#shown) return;
    this.#shown = item.prediction;
    this.#showAnswer(item, item.prediction);
  }

  async #showAnswer(item, prediction) {
    this.#drawing.abort();
    this.#drawing = new AbortController();
    this.#timeline.show(prediction);
    this.#timeline.moveTo(this.#video.currentTime);
    // A file that the browser cannot play has no pictures to show, nor has one that it has lost.
    if (item.url !== null) {
      showThumbnails(byId("thumbnails"), prediction, item.url, (seconds) => this.#seek(seconds), this.#drawing.signal).catch(
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

  #fillAnswer(item, prediction, manifest) {
    const { chosen } = this.#chooser;
    const isOther = item.url !== null && chosen !== null && (chosen.name !== prediction.model.name || chosen.version !== prediction.model.version);
    const again = make("button", { type: "button", className: "button", textContent: `Ask ${chosen?.name} ${chosen?.version} instead`, onclick: () => this.#queue.again(item) });
    byId("answer").replaceChildren(...answerNodes(prediction, manifest, isOther ? [again] : []));
  }

  /** Another model was chosen: offer to ask it, or introduce it where nothing is answered yet. */
  modelChanged() {
    const { chosen } = this.#chooser;
    if (this.#shown === null) return void showCard(chosen, () => this.#shown === null && chosen === this.#chooser.chosen);
    this.#chooser.detail(this.#shown.model).then((detail) => this.#fillAnswer(this.#item, this.#shown, detail.manifest));
  }

  #showProgress() {
    const { state, share, file, since, retrySeconds, clips } = this.#item;
    const words = {
      waiting: "Waiting for the videos before it",
      finding: "Asking the service how far it is",
      sending: `Sending ${size(file.size)}, ${percent(share)}`,
      queued: "The service has it; it is in line behind others",
      reconnecting: "The connection broke: reconnecting. The service goes on meanwhile",
      looking: clips ? `Looking at the video: ${clips.num_clips_done} of ${clips.num_clips} clips` : performance.now() - since > LONG_MS ? `Still looking, ${Math.round((performance.now() - since) / 1000)} s so far: long videos take a while` : "Looking at the video",
      retrying: `The service is busy: trying again in ${Math.max(0, Math.ceil(retrySeconds - (performance.now() - since) / 1000))} s`,
    };
    byId("progress").hidden = !(state in words);
    byId("progress").dataset.state = state;
    if (!(state in words)) return;
    byId("progress-text").textContent = words[state];
    if (state === "sending") byId("progress-bar").value = share;
    else if (clips && state !== "retrying") byId("progress-bar").value = clips.num_clips_done / clips.num_clips;
    else byId("progress-bar").removeAttribute("value");
  }

  #showTrouble() {
    const { state, problem } = this.#item;
    const box = byId("trouble");
    box.hidden = state !== "failed" && state !== "cancelled";
    if (box.hidden) return box.replaceChildren();
    const [title, advice] = state === "cancelled" ? ["Cancelled", "The video was not looked at."] : problemWords(problem.code);
    const said = state === "failed" ? [make("p", { className: "quiet", textContent: `${problem.detail}` })] : [];
    if (problem?.requestId && problem.code === "internal") said.push(make("p", { className: "quiet", textContent: `Request id: ${problem.requestId}` }));
    box.replaceChildren(make("h3", { textContent: title }), make("p", { textContent: advice }), ...said, this.#wayOut(state, problem));
  }

  /** Trying again, where that can help; another video, where it cannot. */
  #wayOut(state, problem) {
    if (problem?.code === "unauthorized") return make("button", { type: "button", className: "button", textContent: "Enter a key", onclick: () => askForKey() });
    if (this.#item.url === null) return make("button", { type: "button", className: "button", textContent: "Choose the video again", onclick: () => byId("files").click() });
    return state === "cancelled" || MAY_PASS.has(problem.code)
      ? make("button", { type: "button", className: "button", textContent: "Try again", onclick: () => this.#queue.again(this.#item) })
      : make("button", { type: "button", className: "button", textContent: "Choose another video", onclick: () => byId("files").click() });
  }

  #setPlayable(isPlayable) {
    this.#isPlayable = isPlayable;
    this.#showScreen();
  }

  /** The video; where it is lost or cannot be played, that in words; where there is no answer either, nothing. */
  #showScreen() {
    const isLost = this.#item.url === null;
    byId("lost").hidden = !isLost;
    byId("unplayable").hidden = isLost || this.#isPlayable;
    this.#video.hidden = isLost || !this.#isPlayable;
    const isBare = isLost ? !byId("trouble").hidden : !this.#isPlayable && this.#item.prediction === null;
    byId("screen").hidden = isBare;
  }

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
