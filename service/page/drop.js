/** Videos by hand: dropped anywhere on the page, or chosen from disk. */

import { byId } from "./dom.js";

/** @param {(files: File[]) => void} onFiles */
export function setUpDrop(onFiles) {
  const veil = byId("veil");
  const input = byId("files");
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  for (const id of ["choose", "choose-again", "more"]) byId(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files.length > 0) onFiles([...input.files]);
    // So that the same file may be chosen again.
    input.value = "";
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    veil.hidden = true;
    if (event.dataTransfer.files.length > 0) onFiles([...event.dataTransfer.files]);
  });
}
