/** Video files that the visitor drops on the page or selects from disk. */

import { byId } from "./dom.js";

/** @param {(files: File[]) => void} onFiles */
export function setUpDrop(onFiles) {
  const veil = byId("veil");
  const input = byId("files", HTMLInputElement);
  /** @param {DragEvent} event */
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  for (const id of ["choose", "choose-again", "more"]) byId(id).addEventListener("click", () => input.click());
  input.addEventListener("change", () => {
    if (input.files !== null && input.files.length > 0) onFiles([...input.files]);
    // Selecting the same file again is then a change, too.
    input.value = "";
  });
  addEventListener("dragover", (event) => {
    if (!hasFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!hasFiles(event) || event.dataTransfer === null) return;
    event.preventDefault();
    veil.hidden = true;
    if (event.dataTransfer.files.length > 0) onFiles([...event.dataTransfer.files]);
  });
}
