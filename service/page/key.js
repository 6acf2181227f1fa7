/** The visitor's API key. It is sent in a header, never in an address, and is not written to disk. */

import { byId } from "./dom.js";

const NAME = "framewise-key";

/**
 * The header with the key; empty without a key.
 * @returns {Record<string, string>}
 */
export function authorization() {
  const key = sessionStorage.getItem(NAME);
  return key === null ? {} : { Authorization: `Bearer ${key}` };
}

export const hasKey = () => sessionStorage.getItem(NAME) !== null;

/** @param {() => void} onKey  called after the key was set or removed */
export function setUpKey(onKey) {
  const dialog = byId("key-dialog", HTMLDialogElement);
  const input = byId("key", HTMLInputElement);
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-close").addEventListener("click", () => dialog.close());
  byId("key-forget").addEventListener("click", () => {
    // The jobs of this tab belong to the key.
    sessionStorage.clear();
    dialog.close();
    onKey();
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, input.value.trim());
    input.value = "";
    dialog.close();
    onKey();
  });
}

/** @param {string} [text]  why the key is needed */
export function askForKey(text = "Ask the operator of this service for a key.") {
  byId("key-button").hidden = false;
  byId("key-text").textContent = text;
  byId("key-forget").hidden = !hasKey();
  const dialog = byId("key-dialog", HTMLDialogElement);
  if (!dialog.open) dialog.showModal();
}
