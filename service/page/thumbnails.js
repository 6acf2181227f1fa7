/** Stills of the frames that drew most attention, drawn from the user's own file. */

import { attendedFrames } from "./timeline.js";
import { make, setVariables } from "./dom.js";
import { clock, percent } from "./words.js";

const NUM_THUMBNAILS = 6;
const LEAST_THUMBNAILS = 3;
const HEIGHT = 144;

/** The frames with most attention, by time: those above an even share of their clip, and always the first three. */
export function topFrames(prediction) {
  const numInClip = (clip) => prediction.frames.filter((frame) => frame.clip === clip).length;
  return attendedFrames(prediction)
    .sort((one, other) => other.attention - one.attention)
    .slice(0, NUM_THUMBNAILS)
    .filter((frame, place) => place < LEAST_THUMBNAILS || frame.attention >= 1 / numInClip(frame.clip))
    .sort((one, other) => one.time_seconds - other.time_seconds);
}

/**
 * Buttons that seek, each with its frame; the pictures follow one by one, as fast as the browser decodes.
 * @param {AbortSignal} signal  stops the drawing when another video is shown
 */
export function showThumbnails(list, prediction, url, onSeek, signal) {
  const frames = topFrames(prediction);
  const peak = Math.max(...frames.map((frame) => frame.attention));
  const canvases = frames.map(() => make("canvas", { height: HEIGHT, width: Math.round((HEIGHT * prediction.video.width) / prediction.video.height) }));
  list.replaceChildren(
    ...frames.map((frame, place) => {
      const caption = make("span", { className: "thumbnail-text" }, make("b", { textContent: clock(frame.time_seconds) }), make("span", { textContent: percent(frame.attention, 1) }));
      const button = make("button", { type: "button", className: "thumbnail", "aria-label": `Go to ${clock(frame.time_seconds)}, attention ${percent(frame.attention, 1)}`, onclick: () => onSeek(frame.time_seconds + 0.002) }, canvases[place], caption);
      setVariables(button, { share: frame.attention / peak });
      return make("li", {}, button);
    }),
  );
  return draw(url, frames, canvases, signal);
}

async function draw(url, frames, canvases, signal) {
  const video = make("video", { muted: true, preload: "auto", src: url });
  try {
    await event(video, "loadeddata");
    for (const [place, frame] of frames.entries()) {
      if (signal.aborted) return;
      const hasSought = event(video, "seeked");
      video.currentTime = frame.time_seconds + 0.002;
      await hasSought;
      const canvas = canvases[place];
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      canvas.dataset.drawn = "true";
    }
  } finally {
    video.removeAttribute("src");
    video.load();
  }
}

/** The next event of this name; an error instead, if the file cannot be played. */
const event = (video, name) =>
  new Promise((resolve, reject) => {
    video.addEventListener(name, resolve, { once: true });
    video.addEventListener("error", () => reject(video.error), { once: true });
  });
