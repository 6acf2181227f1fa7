/** A short video from the camera, where the browser can record one. Without sound: the models do not listen. */

import { byId } from "./dom.js";

const MAX_SECONDS = 60;
const TYPES = ["video/mp4;codecs=avc1.42E01E", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

/** @param {(file: File) => void} onRecorded */
export function setUpRecorder(onRecorded) {
  const dialog = byId("recorder");
  const viewfinder = byId("viewfinder");
  const shutter = byId("shutter");
  const text = byId("recorder-text");
  let stream = null;
  let recorder = null;
  let timer = 0;

  const open = async () => {
    text.textContent = "Waiting for the camera";
    shutter.disabled = true;
    dialog.showModal();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
    } catch (error) {
      text.textContent = error.name === "NotAllowedError" ? "The browser was not allowed to use the camera." : "No camera was found.";
      return;
    }
    if (!dialog.open) return release();
    viewfinder.srcObject = stream;
    viewfinder.play();
    text.textContent = `Up to ${MAX_SECONDS} seconds, without sound.`;
    shutter.disabled = false;
    shutter.focus();
  };

  const release = () => {
    clearInterval(timer);
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = recorder = viewfinder.srcObject = null;
    shutter.textContent = "Record";
  };

  const start = () => {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    const parts = [];
    const startedAt = performance.now();
    recorder = new MediaRecorder(stream, { mimeType });
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = () => {
      const type = recorder.mimeType.split(";")[0];
      dialog.close();
      onRecorded(new File(parts, `recording.${type === "video/mp4" ? "mp4" : "webm"}`, { type }));
    };
    recorder.start();
    shutter.textContent = "Stop";
    timer = setInterval(() => {
      const seconds = (performance.now() - startedAt) / 1000;
      text.textContent = `Recording, ${Math.floor(seconds)} s`;
      if (seconds >= MAX_SECONDS) recorder.stop();
    }, 250);
  };

  shutter.addEventListener("click", () => (recorder === null ? start() : recorder.stop()));
  byId("recorder-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (recorder?.state === "recording") {
      // Closed rather than stopped: what was recorded is not wanted.
      recorder.onstop = null;
      recorder.stop();
    }
    release();
  });
  return open;
}
