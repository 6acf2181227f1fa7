/** The visitor's key, where the service asks for one. It goes into a header, never into an address, and not to disk. */

import { byId } from "./dom.js";

const NAME = "framewise-key";

/** The header that brings the key; none without one. */
export function authorization() {
  const key = sessionStorage.getItem(NAME);
  return key === null ? {} : { Authorization: `Bearer ${key}` };
}

export const hasKey = () => sessionStorage.getItem(NAME) !== null;

/** @param {() => void} onKey  called when there is another key, or none any more */
export function setUpKey(onKey) {
  const dialog = byId("key-dialog");
  byId("key-button").addEventListener("click", () => askForKey());
  byId("key-close").addEventListener("click", () => dialog.close());
  byId("key-forget").addEventListener("click", () => {
    // And with it the jobs that it was good for.
    sessionStorage.clear();
    dialog.close();
    onKey();
  });
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(NAME, byId("key").value.trim());
    byId("key").value = "";
    dialog.close();
    onKey();
  });
}

/** @param {string} text  why it is asked for */
export function askForKey(text = "Whoever runs this service has one for you.") {
  byId("key-button").hidden = false;
  byId("key-text").textContent = text;
  byId("key-forget").hidden = !hasKey();
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}
