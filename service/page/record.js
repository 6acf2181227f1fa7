/** Records a short video from the camera. The models ignore sound, so none is recorded. */

import { byId } from "./dom.js";

const MAX_SECONDS = 60;
const TYPES = ["video/mp4;codecs=avc1.42E01E", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];

export const canRecord = () => "mediaDevices" in navigator && "MediaRecorder" in globalThis;

/**
 * Prepare the dialog. Returns the function that opens it.
 * @param {(file: File) => void} onRecorded
 */
export function setUpRecorder(onRecorded) {
  const dialog = byId("recorder", HTMLDialogElement);
  const viewfinder = byId("viewfinder", HTMLVideoElement);
  const shutter = byId("shutter", HTMLButtonElement);
  const text = byId("recorder-text");
  /** @type {MediaStream | null} */
  let stream = null;
  /** @type {MediaRecorder | null} */
  let recorder = null;
  let timer = 0;

  const open = async () => {
    text.textContent = "Waiting for the camera";
    shutter.disabled = true;
    dialog.showModal();
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: true, audio: false });
    } catch (error) {
      text.textContent = error instanceof DOMException && error.name === "NotAllowedError" ? "The browser was not allowed to use the camera." : "No camera was found.";
      return;
    }
    if (!dialog.open) {
      release();
      return;
    }
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

  /** @param {MediaStream} source */
  const start = (source) => {
    const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type));
    /** @type {Blob[]} */
    const parts = [];
    const startedAt = performance.now();
    const recording = new MediaRecorder(source, { mimeType });
    recorder = recording;
    recording.ondataavailable = (event) => parts.push(event.data);
    recording.onstop = () => {
      const type = recording.mimeType.split(";")[0];
      dialog.close();
      onRecorded(new File(parts, `recording.${type === "video/mp4" ? "mp4" : "webm"}`, { type }));
    };
    recording.start();
    shutter.textContent = "Stop";
    timer = setInterval(() => {
      const seconds = (performance.now() - startedAt) / 1000;
      text.textContent = `Recording, ${Math.floor(seconds)} s`;
      if (seconds >= MAX_SECONDS) recording.stop();
    }, 250);
  };

  shutter.addEventListener("click", () => {
    if (recorder !== null) recorder.stop();
    else if (stream !== null) start(stream);
  });
  byId("recorder-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    if (recorder?.state === "recording") {
      // The visitor closed the dialog while recording: the recording is dropped.
      recorder.onstop = null;
      recorder.stop();
    }
    release();
  });
  return open;
}
