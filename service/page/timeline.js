/** Attention over time, under the video: bars at the frames' true times, clips below them, a playhead. */

import { make, setVariables } from "./dom.js";
import { clock, human, likely, percent } from "./words.js";

// Seeking lands just inside the frame, not on the edge it shares with the one before.
const INSIDE_SECONDS = 0.002;
const TICK_PIXELS = 80;
const NUM_COLOURS = 6;
const HONESTY = "Attention is where the network looked: a hint at the moment, not a proof. The model card says how far it can be trusted.";
const NO_EXPLANATION = "For this model, attention was measured not to explain the answer: frames under tall bars decide it no more than others do.";
const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300];
// Thinner bars than this are hard to hit: the timeline then offers to be widened.
const LEAST_BAR_PIXELS = 4;

const minutes = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, "0")}`;

/** The frames looked at, once each, by time; one of several clips counts with the most it drew in any. */
export function attendedFrames(prediction) {
  const byIndex = new Map();
  for (const frame of prediction.frames) {
    const known = byIndex.get(frame.index);
    if (known === undefined || frame.attention > known.attention) byIndex.set(frame.index, frame);
  }
  return [...byIndex.values()].sort((one, other) => one.time_seconds - other.time_seconds);
}

/** The number of a label's colour: 0, the accent, is the answer's own. */
export function colourOf(label, prediction) {
  const others = prediction.clips.map((clip) => clip.label).filter((other) => other !== prediction.prediction.label);
  return label === prediction.prediction.label ? 0 : 1 + ([...new Set(others)].indexOf(label) % (NUM_COLOURS - 1));
}

export class Timeline {
  #root;
  #onSeek;
  #duration = 1;
  #bars = [];
  #current = -1;
  #zoom = 1;

  /** @param {HTMLElement} root  @param {(seconds: number) => void} onSeek */
  constructor(root, onSeek) {
    this.#root = root;
    this.#onSeek = onSeek;
  }

  show(prediction) {
    const frames = attendedFrames(prediction);
    const peak = frames.reduce((best, frame) => (frame.attention > best.attention ? frame : best));
    this.#duration = Math.max(prediction.video.duration_seconds, frames.at(-1).time_seconds, 1e-3);
    this.#zoom = 1;
    this.#current = -1;
    this.peakText = `Most at ${clock(peak.time_seconds)}, ${percent(peak.attention, 1)} of the clip's attention`;
    this.readout = make("p", { className: "readout", textContent: this.peakText });
    this.#bars = this.#makeBars(frames, peak.attention, prediction);
    this.head = make("div", { className: "playhead", "aria-hidden": "true" });
    const track = make("div", { className: "track", role: "listbox", "aria-label": "Attention per frame. Arrow keys move, Enter seeks there.", "aria-orientation": "horizontal" }, ...this.#bars);
    this.inner = make("div", { className: "timeline-inner" }, evenLine(frames, peak.attention, prediction), track, makeClips(prediction, this.#duration, this.#onSeek), this.#makeAxis(), this.head);
    this.scroller = make("div", { className: "timeline-scroll" }, this.inner);
    this.#root.replaceChildren(
      make("div", { className: "timeline-head" }, make("h3", { className: "eyebrow", textContent: "Attention over time" }), this.readout, this.#makeZoom()),
      this.scroller,
      honesty(prediction),
    );
    track.addEventListener("keydown", (event) => this.#onKey(event));
    track.addEventListener("focusin", (event) => this.#read(event.target));
    track.addEventListener("pointerover", (event) => this.#read(event.target));
    track.addEventListener("pointerleave", () => (this.readout.textContent = this.peakText));
    track.addEventListener("click", (event) => this.#onClick(event));
    setVariables(this.inner, { zoom: 1 });
  }

  /** Put the playhead where the video is. */
  moveTo(seconds) {
    if (this.head === undefined) return;
    setVariables(this.head, { at: Math.min(seconds / this.#duration, 1) });
    const current = this.#bars.findLastIndex((bar) => Number(bar.dataset.time) <= seconds + INSIDE_SECONDS);
    if (current === this.#current) return;
    this.#bars[this.#current]?.setAttribute("aria-selected", "false");
    this.#bars[current]?.setAttribute("aria-selected", "true");
    this.#current = current;
    if (this.#zoom > 1) this.#keepInSight(seconds);
  }

  #makeBars(frames, peak, prediction) {
    const gaps = frames.slice(1).map((frame, place) => frame.time_seconds - frames[place].time_seconds);
    const usual = gaps.sort((one, other) => one - other)[gaps.length >> 1] ?? this.#duration;
    return frames.map((frame, place) => {
      const end = frames[place + 1]?.time_seconds ?? this.#duration;
      const width = Math.min(usual, end - frame.time_seconds);
      const label = `${clock(frame.time_seconds)}, attention ${percent(frame.attention, 1)}`;
      const bar = make("button", { type: "button", className: "bar", role: "option", tabIndex: place === 0 ? 0 : -1, "aria-label": label, "aria-selected": "false", dataset: { time: frame.time_seconds, attention: frame.attention, index: frame.index, clip: frame.clip, colour: colourOf(prediction.clips[frame.clip].label, prediction) } });
      setVariables(bar, { at: frame.time_seconds / this.#duration, width: width / this.#duration, height: frame.attention / peak, rank: place / frames.length });
      return bar;
    });
  }

  #makeAxis() {
    const maxTicks = Math.max(2, Math.floor(this.#root.clientWidth / TICK_PIXELS));
    const step = STEPS.find((candidate) => this.#duration / candidate <= maxTicks) ?? this.#duration / maxTicks;
    const axis = make("div", { className: "axis", "aria-hidden": "true" });
    for (let seconds = 0; seconds <= this.#duration * 0.97; seconds += step) {
      const tick = make("span", { textContent: this.#duration < 60 ? `${+seconds.toFixed(1)} s` : minutes(seconds) });
      setVariables(tick, { at: seconds / this.#duration });
      axis.append(tick);
    }
    return axis;
  }

  #makeZoom() {
    const mostZoom = 2 ** Math.ceil(Math.log2(Math.max(1, (this.#bars.length * LEAST_BAR_PIXELS * 2) / this.#root.clientWidth || 1)));
    const group = make("div", { className: "zoom", role: "group", "aria-label": "Zoom", hidden: mostZoom <= 1 });
    const zoomTo = (zoom) => {
      this.#zoom = Math.min(Math.max(zoom, 1), mostZoom);
      setVariables(this.inner, { zoom: this.#zoom });
      this.#keepInSight(Number(this.#bars[Math.max(this.#current, 0)].dataset.time));
    };
    group.append(
      make("button", { type: "button", className: "button small", textContent: "−", "aria-label": "Show more time", onclick: () => zoomTo(this.#zoom / 2) }),
      make("button", { type: "button", className: "button small", textContent: "+", "aria-label": "Show more detail", onclick: () => zoomTo(this.#zoom * 2) }),
    );
    return group;
  }

  #keepInSight(seconds) {
    const x = (seconds / this.#duration) * this.inner.clientWidth;
    const { scrollLeft, clientWidth } = this.scroller;
    if (x < scrollLeft || x > scrollLeft + clientWidth * 0.9) this.scroller.scrollLeft = x - clientWidth * 0.2;
  }

  #read(target) {
    if (!target.classList.contains("bar")) return;
    const clip = this.inner.querySelectorAll(".clip").length > 1 ? `, clip ${Number(target.dataset.clip) + 1}` : "";
    this.readout.textContent = target.getAttribute("aria-label") + clip;
  }

  #onClick(event) {
    const track = event.currentTarget.getBoundingClientRect();
    const isOnBar = event.target.classList.contains("bar");
    if (isOnBar) this.#focus(this.#bars.indexOf(event.target));
    this.#onSeek(isOnBar ? Number(event.target.dataset.time) + INSIDE_SECONDS : ((event.clientX - track.left) / track.width) * this.#duration);
  }

  #onKey(event) {
    const place = this.#bars.indexOf(document.activeElement);
    const moves = { ArrowLeft: place - 1, ArrowRight: place + 1, PageDown: place + 10, PageUp: place - 10, Home: 0, End: this.#bars.length - 1 };
    if (place < 0 || !(event.key in moves)) return;
    event.preventDefault();
    this.#focus(Math.min(Math.max(moves[event.key], 0), this.#bars.length - 1));
  }

  /** Tab reaches one bar, arrow keys the rest. */
  #focus(place) {
    for (const bar of this.#bars) bar.tabIndex = -1;
    this.#bars[place].tabIndex = 0;
    this.#bars[place].focus();
  }
}

/** How far the bars may be trusted, in words next to them. */
function honesty({ warnings }) {
  const isExplanation = !warnings.some((warning) => warning.code === "attention_not_explanatory");
  return make("p", { className: isExplanation ? "honesty" : "warning", textContent: isExplanation ? HONESTY : NO_EXPLANATION });
}

/** Where every bar would end if the model had looked at all frames alike; none where clips differ in that. */
function evenLine(frames, peak, prediction) {
  const counts = new Set(prediction.clips.map((_, number) => prediction.frames.filter((frame) => frame.clip === number).length));
  const line = make("div", { className: "even", "aria-hidden": "true", hidden: counts.size !== 1 }, make("span", { textContent: "if it looked evenly" }));
  const height = Math.min(1 / [...counts][0] / peak, 1);
  line.classList.toggle("high", height > 0.8);
  setVariables(line, { height });
  return line;
}

/** The clips in as many lanes as overlap, coloured by label, the paler the less sure. */
function makeClips(prediction, duration, onSeek) {
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
