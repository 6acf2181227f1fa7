/** Thumbnails of the frames with the highest attention, drawn from the visitor's file. */

import { attendedFrames } from "./timeline.js";
import { make, setVariables } from "./dom.js";
import { clock, percent } from "./words.js";

const NUM_THUMBNAILS = 6;
const LEAST_THUMBNAILS = 3;
const HEIGHT = 144;

/**
 * Frames with the highest attention, ordered by time: those above the uniform attention of their clip, at least three.
 * @param {Prediction} prediction
 */
export function topFrames(prediction) {
  /** @param {number} clip */
  const numInClip = (clip) => prediction.frames.filter((frame) => frame.clip === clip).length;
  return attendedFrames(prediction)
    .sort((one, other) => other.attention - one.attention)
    .slice(0, NUM_THUMBNAILS)
    .filter((frame, rank) => rank < LEAST_THUMBNAILS || frame.attention >= 1 / numInClip(frame.clip))
    .sort((one, other) => one.time_seconds - other.time_seconds);
}

/**
 * Show a button for each frame, which seeks there. The pictures are drawn one by one, as the browser decodes them.
 * @param {HTMLElement} list
 * @param {Prediction} prediction
 * @param {string} url
 * @param {(seconds: number) => void} onSeek
 * @param {AbortSignal} signal  stops the drawing when another video is shown
 */
export function showThumbnails(list, prediction, url, onSeek, signal) {
  const frames = topFrames(prediction);
  const peak = Math.max(...frames.map((frame) => frame.attention));
  const canvases = frames.map(() => make("canvas", { height: HEIGHT, width: Math.round((HEIGHT * prediction.video.width) / prediction.video.height) }));
  list.replaceChildren(
    ...frames.map((frame, index) => {
      const caption = make("span", { className: "thumbnail-text" }, make("b", { textContent: clock(frame.time_seconds) }), make("span", { textContent: percent(frame.attention, 1) }));
      const button = make("button", { type: "button", className: "thumbnail", "aria-label": `Go to ${clock(frame.time_seconds)}, attention ${percent(frame.attention, 1)}`, onclick: () => onSeek(frame.time_seconds + 0.002) }, canvases[index], caption);
      setVariables(button, { share: frame.attention / peak });
      return make("li", {}, button);
    }),
  );
  return draw(url, frames, canvases, signal);
}

/**
 * @param {string} url
 * @param {PredictedFrame[]} frames
 * @param {HTMLCanvasElement[]} canvases
 * @param {AbortSignal} signal
 */
async function draw(url, frames, canvases, signal) {
  const video = make("video", { muted: true, preload: "auto", src: url });
  try {
    await event(video, "loadeddata");
    for (const [index, frame] of frames.entries()) {
      if (signal.aborted) return;
      const hasSought = event(video, "seeked");
      video.currentTime = frame.time_seconds + 0.002;
      await hasSought;
      const canvas = canvases[index];
      canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
      canvas.dataset.drawn = "true";
    }
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}

/**
 * Resolves at the next event of this name; rejects if the file cannot be played.
 * @param {HTMLVideoElement} video
 * @param {string} name
 */
const event = (video, name) =>
  new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(video.error), { once: true });
  });
