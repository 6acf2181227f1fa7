/** Connects the parts of the page: files, queue, view. Each part uses only its arguments. */

import { Chooser } from "./chooser.js";
import { Desk } from "./desk.js";
import { byId, copyText, make, setVariables } from "./dom.js";
import { setUpDrop } from "./drop.js";
import { keptJobs } from "./kept.js";
import { setUpKey } from "./key.js";
import { Queue } from "./queue.js";
import { canRecord, setUpRecorder } from "./record.js";
import { acceptedLabels, duration, human, likely, problemWords, size } from "./words.js";

/** @typedef {import("./queue.js").Item} Item */

/** @type {Record<string, string>} */
const STATE_WORDS = { waiting: "waiting", sending: "sending", finding: "requesting progress", queued: "queued", looking: "analysing", reconnecting: "reconnecting", retrying: "trying again", cancelled: "cancelled" };

const chooser = new Chooser();
const queue = new Queue(
  () => chooser.chosen ?? { name: "", version: "" },
  () => ({ maxBytes: chooser.limits.max_upload_bytes, jobs: chooser.jobs }),
);
const desk = new Desk(chooser, queue);
/** @type {Item | null} */
let selected = null;

/** @param {Item} item */
function select(item) {
  selected = item;
  desk.show(item);
  showQueue();
  // On a narrow screen, scroll to the selected chip.
  byId("queue-items").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

/** @param {File[]} chosen */
function add(chosen) {
  // A file that was sent before a reload is attached to its item, and not sent again.
  const found = chosen.map((file) => queue.reunite(file));
  const files = chosen.filter((_, index) => found[index] === undefined);
  if (files.length === 0) {
    if (found[0] !== undefined) select(found[0]);
    byId("main").focus({ preventScroll: true });
    return;
  }
  const isFirst = queue.items.length === 0;
  const first = queue.add(files);
  showDesk();
  // The video that is shown stays; the new files wait in the queue.
  if (isFirst || selected?.state === "failed" || files.length === 1) select(first);
  if (isFirst) byId("main").focus({ preventScroll: true });
  showQueue();
}

/** Follow the jobs that were submitted before the page was reloaded. */
function pickUp() {
  const jobs = keptJobs();
  if (jobs.length === 0) return;
  const latest = queue.pickUp(jobs);
  showDesk();
  // A video that the visitor selected before the service was ready stays selected.
  if (selected === null) select(latest);
  showQueue();
}

function showDesk() {
  byId("drop").hidden = true;
  byId("queue").hidden = false;
}

function showQueue() {
  const list = byId("queue-items");
  while (list.children.length < queue.items.length) {
    const item = queue.items[list.children.length];
    list.append(make("li", {}, make("button", { type: "button", className: "chip", onclick: () => select(item) }, make("b"), make("span"))));
  }
  queue.items.forEach((item, index) => {
    const chip = /** @type {HTMLElement} */ (list.children[index].firstElementChild);
    const [name, state] = chip.children;
    name.textContent = item.file.name;
    state.textContent = outcome(item);
    chip.dataset.state = item.state;
    chip.dataset.accepted = String(item.prediction?.prediction.accepted ?? false);
    chip.setAttribute("aria-current", String(item === selected));
    setVariables(chip, { share: item.share });
  });
}

/** @param {Item} item */
function outcome(item) {
  if (item.state === "failed" && item.problem !== null) return problemWords(item.problem.code)[0].toLowerCase();
  if (item.prediction === null) return STATE_WORDS[item.state];
  const { label, probability, accepted } = item.prediction.prediction;
  const several = acceptedLabels(item.prediction);
  if (several.length > 1) return several.map(human).join(", ");
  return accepted ? `${human(label)} ${likely(probability)}` : "not sure";
}

/**
 * Announce a change of state to screen readers.
 * @param {Item} item
 */
function announce(item) {
  const text = `${item.file.name}: ${outcome(item)}`;
  if (byId("announcer").textContent !== text) byId("announcer").textContent = text;
}

function decorate() {
  for (let index = 0; index < 48; index += 1) {
    const bar = make("i");
    const height = 0.12 + 0.1 * Math.abs(Math.sin(index * 1.7)) + 0.78 * Math.exp(-(((index - 31) / 3.6) ** 2));
    setVariables(bar, { height });
    byId("drop-bars").append(bar);
  }
}

queue.addEventListener("change", (event) => {
  const item = /** @type {CustomEvent<Item>} */ (event).detail;
  announce(item);
  if (item === selected) desk.show(item);
  showQueue();
});
chooser.addEventListener("change", () => {
  desk.modelChanged();
  const { max_upload_bytes: bytes } = chooser.limits;
  const seconds = chooser.jobs?.job_max_duration_seconds ?? chooser.limits.max_duration_seconds;
  byId("limits").textContent = `Up to ${size(bytes)} and ${duration(seconds)}. Each file is deleted after it is analysed.`;
});
chooser.addEventListener("change", pickUp, { once: true });
for (const button of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-copy]"))) {
  button.addEventListener("click", () => copyText(byId(button.dataset.copy ?? ""), button));
}
setUpDrop(add);
if (canRecord()) {
  byId("record").hidden = false;
  byId("record").addEventListener("click", setUpRecorder((file) => add([file])));
}
setUpKey(async () => {
  await chooser.load();
  for (const item of queue.items.filter(({ problem }) => problem?.code === "unauthorized")) queue.again(item);
});
decorate();
chooser.load();
