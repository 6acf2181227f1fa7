/** Which model is asked, and what it says of itself. */

import { capabilities, health, modelCard, modelDetail, models } from "./api.js";
import { byId, make } from "./dom.js";
import { cardNodes } from "./card.js";
import { askForKey, hasKey } from "./key.js";

const STATES = { ready: "Ready", starting: "Loading models", draining: "Shutting down", failed: "Not working", unreachable: "No answer" };
const RECHECK_MS = 2000;

export class Chooser extends EventTarget {
  #select = byId("model");
  #models = [];
  #details = new Map();
  /** What the service takes; known once it is ready. */
  limits = { max_upload_bytes: Infinity, max_duration_seconds: Infinity };
  /** Which videos it wants as jobs; null where it takes none. */
  jobs = null;

  constructor() {
    super();
    this.#select.addEventListener("change", () => this.dispatchEvent(new Event("change")));
  }

  /** Fill the list once the service is ready; look again until it is. */
  async load() {
    const { state } = await health().catch(() => ({ state: "unreachable" }));
    byId("state").dataset.state = state;
    byId("state-text").textContent = STATES[state] ?? state;
    if (state !== "ready") return void setTimeout(() => this.load(), RECHECK_MS);
    try {
      ({ limits: this.limits, jobs: this.jobs } = await capabilities());
      this.#models = await models();
    } catch (problem) {
      return void this.#explain(problem);
    }
    this.#select.replaceChildren(...this.#models.map((model, place) => make("option", { value: place, textContent: `${model.name} ${model.version}`, selected: model.is_default })));
    byId("chooser").hidden = false;
    this.dispatchEvent(new Event("change"));
  }

  /** Ask for a key where one is wanted; look again after everything else. */
  #explain({ code }) {
    byId("chooser").hidden = true;
    if (code === "unauthorized" || code === "forbidden") {
      byId("state").dataset.state = "locked";
      byId("state-text").textContent = "Locked";
      askForKey(hasKey() ? "The service does not know that key." : "This service answers only to callers with a key. Whoever runs it has one for you.");
    } else {
      setTimeout(() => this.load(), RECHECK_MS);
    }
  }

  /** The chosen model, or null before there is any. */
  get chosen() {
    return this.#models[this.#select.selectedIndex] ?? null;
  }

  /** Everything a model says of itself, asked for once. */
  detail(model) {
    const key = `${model.name}/${model.version}`;
    if (!this.#details.has(key)) this.#details.set(key, modelDetail(model));
    return this.#details.get(key);
  }
}

/** Show what `model` says of itself in the section beside the answer. */
export async function showCard(model, isWanted) {
  const text = await modelCard(model);
  if (!isWanted()) return;
  byId("card-title").textContent = `About ${model.name} ${model.version}`;
  byId("card-lead").textContent = model.description;
  // Its title and first sentence stand above it already.
  const body = text.replace(/^\s*# .*\n\s*/, "");
  byId("card-text").replaceChildren(...cardNodes(body.startsWith(model.description) ? body.slice(model.description.length) : body));
  byId("card-details").hidden = text.trim() === "";
  byId("card-details").open ||= matchMedia("(min-width: 901px)").matches;
  byId("card").hidden = false;
}
