/** The selected model, and its description. */

import { capabilities, health, modelCard, modelDetail, models, Problem } from "./api.js";
import { byId, make } from "./dom.js";
import { cardNodes } from "./card.js";
import { askForKey, hasKey } from "./key.js";

/** @type {Record<string, string>} */
const STATES = { ready: "Ready", degraded: "Ready, in part", starting: "Loading models", draining: "Shutting down", failed: "Not working", unreachable: "No answer" };
const RECHECK_MS = 2000;

export class Chooser extends EventTarget {
  #select = byId("model", HTMLSelectElement);
  /** @type {ListedModel[]} */
  #models = [];
  /** @type {Map<string, Promise<ModelDetail>>} */
  #details = new Map();
  /** Limits of the service, infinite until it is ready. */
  limits = { max_upload_bytes: Infinity, max_duration_seconds: Infinity };
  /**
   * Which videos to submit as jobs; null if the service accepts no jobs.
   * @type {JobLimits | null}
   */
  jobs = null;

  constructor() {
    super();
    this.#select.addEventListener("change", () => this.dispatchEvent(new Event("change")));
  }

  /** Fill the list of models. Until the service is ready, the list is requested again every two seconds. */
  async load() {
    const { state } = await health().catch(() => ({ state: "unreachable" }));
    byId("state").dataset.state = state;
    byId("state-text").textContent = STATES[state] ?? state;
    if (state !== "ready" && state !== "degraded") {
      setTimeout(() => this.load(), RECHECK_MS);
      return;
    }
    try {
      ({ limits: this.limits, jobs: this.jobs } = await capabilities());
      this.#models = await models();
    } catch (problem) {
      this.#explain(problem);
      return;
    }
    this.#select.replaceChildren(...this.#models.map((model, index) => make("option", { value: index, textContent: `${model.name} ${model.version}`, selected: model.is_default })));
    byId("chooser").hidden = false;
    this.dispatchEvent(new Event("change"));
  }

  /**
   * Ask the visitor for a key if the service needs one; try again after any other error.
   * @param {unknown} error
   */
  #explain(error) {
    const code = error instanceof Problem ? error.code : "network";
    byId("chooser").hidden = true;
    if (code === "unauthorized" || code === "forbidden") {
      byId("state").dataset.state = "locked";
      byId("state-text").textContent = "Locked";
      askForKey(hasKey() ? "The service does not know this key." : "This service accepts requests only with an API key. Ask its operator for one.");
    } else {
      setTimeout(() => this.load(), RECHECK_MS);
    }
  }

  /** The selected model; null until the models are listed. */
  get chosen() {
    return this.#models[this.#select.selectedIndex] ?? null;
  }

  /**
   * The description of a model, requested once.
   * @param {ModelName} model
   * @returns {Promise<ModelDetail>}
   */
  detail(model) {
    const key = `${model.name}/${model.version}`;
    const detail = this.#details.get(key) ?? modelDetail(model);
    this.#details.set(key, detail);
    return detail;
  }
}

/**
 * Show the card of `model` beside the prediction.
 * @param {ListedModel | ModelDetail} model
 * @param {() => boolean} isWanted  whether the card is still to be shown when it has arrived
 */
export async function showCard(model, isWanted) {
  const text = await modelCard(model);
  if (!isWanted()) return;
  byId("card-title").textContent = `About ${model.name} ${model.version}`;
  byId("card-lead").textContent = model.description;
  // The title and the description are shown above the card.
  const body = text.replace(/^\s*# .*\n\s*/, "");
  byId("card-text").replaceChildren(...cardNodes(body.startsWith(model.description) ? body.slice(model.description.length) : body));
  byId("card-details").hidden = text.trim() === "";
  byId("card-details", HTMLDetailsElement).open ||= matchMedia("(min-width: 901px)").matches;
  byId("card").hidden = false;
}
