/** Attention over time: a bar at the time of each frame, the clips below the bars, and a playhead. */

import { make, setVariables } from "./dom.js";
import { clock, human, likely, percent } from "./words.js";

// Seeks to this long after the start of a frame, so that rounding does not show the frame before.
const INSIDE_SECONDS = 0.002;
const TICK_PIXELS = 80;
const NUM_COLOURS = 6;
const HONESTY = "Attention shows which frames the network weighted most: a hint at the moment, not a proof. The model card reports how well it explains predictions.";
const NO_EXPLANATION = "For this model, measurements show that attention does not explain the prediction: frames with high attention influence it no more than other frames.";
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300];
// Narrower bars are hard to click: the timeline then offers to zoom.
const LEAST_BAR_PIXELS = 4;

/** @param {number} seconds */
const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;

/**
 * The sampled frames by time. A frame of several clips has its highest attention.
 * @param {Prediction} prediction
 */
export function attendedFrames(prediction) {
  /** @type {Map<number, PredictedFrame>} */
  const byIndex = new Map();
  for (const frame of prediction.frames) {
    const known = byIndex.get(frame.index);
    if (known === undefined || frame.attention > known.attention) byIndex.set(frame.index, frame);
  }
  return [...byIndex.values()].sort((one, other) => one.time_seconds - other.time_seconds);
}

/**
 * The number of a label's colour; 0, the accent, is the colour of the predicted label.
 * @param {string} label
 * @param {Prediction} prediction
 */
export function colourOf(label, prediction) {
  const others = prediction.clips.map((clip) => clip.label).filter((other) => other !== prediction.prediction.label);
  return label === prediction.prediction.label ? 0 : 1 + ([...new Set(others)].indexOf(label) % (NUM_COLOURS - 1));
}

export class Timeline {
  #root;
  #onSeek;
  #duration = 1;
  #peakText = "";
  #readout = make("p", { className: "readout" });
  #head = make("div", { className: "playhead", "aria-hidden": "true" });
  #inner = make("div");
  #scroller = make("div");
  /** @type {HTMLButtonElement[]} */
  #bars = [];
  #current = -1;
  #zoom = 1;

  /** @param {HTMLElement} root  @param {(seconds: number) => void} onSeek */
  constructor(root, onSeek) {
    this.#root = root;
    this.#onSeek = onSeek;
  }

  /** @param {Prediction} prediction */
  show(prediction) {
    const frames = attendedFrames(prediction);
    const peak = frames.reduce((best, frame) => (frame.attention > best.attention ? frame : best));
    this.#duration = Math.max(prediction.video.duration_seconds, frames[frames.length - 1].time_seconds, 1e-3);
    this.#zoom = 1;
    this.#current = -1;
    this.#peakText = `Most at ${clock(peak.time_seconds)}, ${percent(peak.attention, 1)} of the clip's attention`;
    this.#readout.textContent = this.#peakText;
    this.#bars = this.#makeBars(frames, peak.attention, prediction);
    const track = make("div", { className: "track", role: "listbox", "aria-label": "Attention per frame. Arrow keys move, Enter seeks there.", "aria-orientation": "horizontal" }, ...this.#bars);
    this.#inner = make("div", { className: "timeline-inner" }, evenLine(peak.attention, prediction), track, makeClips(prediction, this.#duration, this.#onSeek), this.#makeAxis(), this.#head);
    this.#scroller = make("div", { className: "timeline-scroll" }, this.#inner);
    this.#root.replaceChildren(
      make("div", { className: "timeline-head" }, make("h3", { className: "eyebrow", textContent: "Attention over time" }), this.#readout, this.#makeZoom()),
      this.#scroller,
      honesty(prediction),
    );
    track.addEventListener("keydown", (event) => this.#onKey(event));
    track.addEventListener("focusin", ({ target }) => this.#read(target));
    track.addEventListener("pointerover", ({ target }) => this.#read(target));
    track.addEventListener("pointerleave", () => (this.#readout.textContent = this.#peakText));
    track.addEventListener("click", (event) => this.#onClick(event, track));
    setVariables(this.#inner, { zoom: 1 });
  }

  /**
   * Move the playhead.
   * @param {number} seconds
   */
  moveTo(seconds) {
    if (this.#bars.length === 0) return;
    setVariables(this.#head, { at: Math.min(seconds / this.#duration, 1) });
    const current = this.#bars.findLastIndex((bar) => Number(bar.dataset.time) <= seconds + INSIDE_SECONDS);
    if (current === this.#current) return;
    this.#bars[this.#current]?.setAttribute("aria-selected", "false");
    this.#bars[current]?.setAttribute("aria-selected", "true");
    this.#current = current;
    if (this.#zoom > 1) this.#keepInSight(seconds);
  }

  /**
   * @param {PredictedFrame[]} frames
   * @param {number} peak
   * @param {Prediction} prediction
   */
  #makeBars(frames, peak, prediction) {
    const gaps = frames.slice(1).map((frame, index) => frame.time_seconds - frames[index].time_seconds);
    const usual = gaps.sort((one, other) => one - other)[gaps.length >> 1] ?? this.#duration;
    return frames.map((frame, index) => {
      const end = frames[index + 1]?.time_seconds ?? this.#duration;
      const width = Math.min(usual, end - frame.time_seconds);
      const label = `${clock(frame.time_seconds)}, attention ${percent(frame.attention, 1)}`;
      const bar = make("button", { type: "button", className: "bar", role: "option", tabIndex: index === 0 ? 0 : -1, "aria-label": label, "aria-selected": "false", dataset: { time: frame.time_seconds, attention: frame.attention, index: frame.index, clip: frame.clip, colour: colourOf(prediction.clips[frame.clip].label, prediction) } });
      setVariables(bar, { at: frame.time_seconds / this.#duration, width: width / this.#duration, height: frame.attention / peak, rank: index / frames.length });
      return bar;
    });
  }

  #makeAxis() {
    const maxTicks = Math.max(2, Math.floor(this.#root.clientWidth / TICK_PIXELS));
    const step = STEPS.find((candidate) => this.#duration / candidate <= maxTicks) ?? this.#duration / maxTicks;
    const axis = make("div", { className: "axis", "aria-hidden": "true" });
    for (let seconds = 0; seconds <= this.#duration * 0.97; seconds += step) {
      const tick = make("span", { textContent: this.#duration < 60 ? `${Number(seconds.toFixed(1))} s` : minutes(seconds) });
      setVariables(tick, { at: seconds / this.#duration });
      axis.append(tick);
    }
    return axis;
  }

  #makeZoom() {
    const mostZoom = 2 ** Math.ceil(Math.log2(Math.max(1, (this.#bars.length * LEAST_BAR_PIXELS * 2) / this.#root.clientWidth || 1)));
    const group = make("div", { className: "zoom", role: "group", "aria-label": "Zoom", hidden: mostZoom <= 1 });
    /** @param {number} zoom */
    const zoomTo = (zoom) => {
      this.#zoom = Math.min(Math.max(zoom, 1), mostZoom);
      setVariables(this.#inner, { zoom: this.#zoom });
      this.#keepInSight(Number(this.#bars[Math.max(this.#current, 0)].dataset.time));
    };
    group.append(
      make("button", { type: "button", className: "button small", textContent: "−", "aria-label": "Show more time", onclick: () => zoomTo(this.#zoom / 2) }),
      make("button", { type: "button", className: "button small", textContent: "+", "aria-label": "Show more detail", onclick: () => zoomTo(this.#zoom * 2) }),
    );
    return group;
  }

  /** @param {number} seconds */
  #keepInSight(seconds) {
    const x = (seconds / this.#duration) * this.#inner.clientWidth;
    const { scrollLeft, clientWidth } = this.#scroller;
    if (x < scrollLeft || x > scrollLeft + clientWidth * 0.9) this.#scroller.scrollLeft = x - clientWidth * 0.2;
  }

  /** @param {EventTarget | null} target */
  #read(target) {
    if (!(target instanceof HTMLElement) || !target.classList.contains("bar")) return;
    const clip = this.#inner.querySelectorAll(".clip").length > 1 ? `, clip ${Number(target.dataset.clip) + 1}` : "";
    this.#readout.textContent = target.getAttribute("aria-label") + clip;
  }

  /**
   * @param {MouseEvent} event
   * @param {HTMLElement} track
   */
  #onClick({ target, clientX }, track) {
    const index = this.#bars.findIndex((bar) => bar === target);
    if (index >= 0) this.#focus(index);
    const { left, width } = track.getBoundingClientRect();
    this.#onSeek(index >= 0 ? Number(this.#bars[index].dataset.time) + INSIDE_SECONDS : ((clientX - left) / width) * this.#duration);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const index = this.#bars.findIndex((bar) => bar === document.activeElement);
    /** @type {Record<string, number>} */
    const moves = { ArrowLeft: index - 1, ArrowRight: index + 1, PageDown: index + 10, PageUp: index - 10, Home: 0, End: this.#bars.length - 1 };
    if (index < 0 || !(event.key in moves)) return;
    event.preventDefault();
    this.#focus(Math.min(Math.max(moves[event.key], 0), this.#bars.length - 1));
  }

  /**
   * Focus one bar. Tab reaches this bar only; arrow keys reach the others.
   * @param {number} index
   */
  #focus(index) {
    for (const bar of this.#bars) bar.tabIndex = -1;
    this.#bars[index].tabIndex = 0;
    this.#bars[index].focus();
  }
}

/**
 * Whether attention explains the prediction.
 * @param {Prediction} prediction
 */
function honesty({ warnings }) {
  const isExplanation = !warnings.some((warning) => warning.code === "attention_not_explanatory");
  return make("p", { className: isExplanation ? "honesty" : "warning", textContent: isExplanation ? HONESTY : NO_EXPLANATION });
}

/**
 * The height of all bars under uniform attention; hidden if it differs between clips.
 * @param {number} peak
 * @param {Prediction} prediction
 */
function evenLine(peak, prediction) {
  const counts = new Set(prediction.clips.map((_, number) => prediction.frames.filter((frame) => frame.clip === number).length));
  const line = make("div", { className: "even", "aria-hidden": "true", hidden: counts.size !== 1 }, make("span", { textContent: "uniform attention" }));
  const height = Math.min(1 / [...counts][0] / peak, 1);
  line.classList.toggle("high", height > 0.8);
  setVariables(line, { height });
  return line;
}

/**
 * The clips, coloured by label and paler with a lower probability. Overlapping clips are in separate lanes.
 * @param {Prediction} prediction
 * @param {number} duration
 * @param {(seconds: number) => void} onSeek
 */
function makeClips(prediction, duration, onSeek) {
  /** @type {number[]} */
  const laneEnds = [];
  const list = make("div", { className: "clips", role: "group", "aria-label": "Clips" });
  for (const clip of prediction.clips) {
    const end = Math.min(clip.end_seconds, duration);
    let lane = laneEnds.findIndex((laneEnd) => laneEnd <= clip.start_seconds + 1e-6);
    lane = lane < 0 ? laneEnds.length : lane;
    laneEnds[lane] = end;
    const text = `${human(clip.label)} ${likely(clip.probability)}`;
    const ribbon = make("button", { type: "button", className: "clip", title: `${text}, ${clock(clip.start_seconds)} to ${clock(end)}`, "aria-label": `${text}, from ${clock(clip.start_seconds)} to ${clock(end)}`, dataset: { colour: colourOf(clip.label, prediction) }, onclick: () => onSeek(clip.start_seconds + INSIDE_SECONDS) }, make("span", { textContent: text }));
    setVariables(ribbon, { at: clip.start_seconds / duration, width: (end - clip.start_seconds) / duration, lane, sure: clip.probability });
    list.append(ribbon);
  }
  setVariables(list, { lanes: laneEnds.length });
  return list;
}
