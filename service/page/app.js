/** The page, put together: files in, queue, desk. Each part knows only what it is given here. */

import { Chooser } from "./chooser.js";
import { Desk } from "./desk.js";
import { byId, copyText, make, setVariables } from "./dom.js";
import { setUpDrop } from "./drop.js";
import { keptJobs } from "./kept.js";
import { setUpKey } from "./key.js";
import { Queue } from "./queue.js";
import { canRecord, setUpRecorder } from "./record.js";
import { acceptedLabels, duration, human, likely, problemWords, size } from "./words.js";

const STATE_WORDS = { waiting: "waiting", sending: "sending", finding: "asking how far it is", queued: "in line", looking: "looking", reconnecting: "reconnecting", retrying: "trying again", cancelled: "cancelled" };

const chooser = new Chooser();
const queue = new Queue(
  () => chooser.chosen ?? { name: "", version: "" },
  () => ({ maxBytes: chooser.limits.max_upload_bytes, jobs: chooser.jobs }),
);
const desk = new Desk(chooser, queue);
let selected = null;

function select(item) {
  selected = item;
  desk.show(item);
  showQueue();
  // Where chips are wider than the screen, the one that is looked at is in sight.
  byId("queue-items").querySelector("[aria-current=true]").scrollIntoView({ block: "nearest", inline: "nearest" });
}

function add(chosen) {
  // A file that a reload has lost is only shown again; it was sent before.
  const found = chosen.map((file) => queue.reunite(file));
  const files = chosen.filter((_, place) => found[place] === undefined);
  if (files.length === 0) {
    select(found[0]);
    byId("main").focus({ preventScroll: true });
    return;
  }
  const isFirst = queue.items.length === 0;
  const first = queue.add(files);
  showDesk();
  // A video that is being looked at stays where it is; what is added waits in the queue.
  if (isFirst || selected?.state === "failed" || files.length === 1) select(first);
  if (isFirst) byId("main").focus({ preventScroll: true });
  showQueue();
}

/** The jobs that were sent before the page was reloaded. */
function pickUp() {
  const jobs = keptJobs();
  if (jobs.length === 0) return;
  const latest = queue.pickUp(jobs);
  showDesk();
  // Whoever has chosen a video before the service was ready looks at that one.
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
  queue.items.forEach((item, place) => {
    const chip = list.children[place].firstChild;
    const [name, state] = chip.children;
    name.textContent = item.file.name;
    state.textContent = outcome(item);
    chip.dataset.state = item.state;
    chip.dataset.accepted = String(item.prediction?.prediction.accepted ?? false);
    chip.setAttribute("aria-current", String(item === selected));
    setVariables(chip, { share: item.share });
  });
}

function outcome(item) {
  if (item.state === "failed") return problemWords(item.problem.code)[0].toLowerCase();
  if (item.state !== "done") return STATE_WORDS[item.state];
  const { label, probability, accepted } = item.prediction.prediction;
  const several = acceptedLabels(item.prediction);
  if (several.length > 1) return several.map(human).join(", ");
  return accepted ? `${human(label)} ${likely(probability)}` : "not sure";
}

/** Tell those who listen rather than look; of progress, only its beginning and its end. */
function announce(item) {
  const text = `${item.file.name}: ${outcome(item)}`;
  if (byId("announcer").textContent !== text) byId("announcer").textContent = text;
}

function decorate() {
  for (let place = 0; place < 48; place += 1) {
    const bar = make("i");
    const height = 0.12 + 0.1 * Math.abs(Math.sin(place * 1.7)) + 0.78 * Math.exp(-(((place - 31) / 3.6) ** 2));
    setVariables(bar, { height });
    byId("drop-bars").append(bar);
  }
}

queue.addEventListener("change", ({ detail: item }) => {
  announce(item);
  if (item === selected) desk.show(item);
  showQueue();
});
chooser.addEventListener("change", () => {
  desk.modelChanged();
  const { max_upload_bytes: bytes } = chooser.limits;
  const seconds = chooser.jobs?.job_max_duration_seconds ?? chooser.limits.max_duration_seconds;
  byId("limits").textContent = `Up to ${size(bytes)} and ${duration(seconds)}. Looked at once, then deleted.`;
});
chooser.addEventListener("change", pickUp, { once: true });
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copyText(byId(button.dataset.copy), button));
}
setUpDrop(add);
if (canRecord()) {
  byId("record").hidden = false;
  byId("record").addEventListener("click", setUpRecorder((file) => add([file])));
}
setUpKey(async () => {
  await chooser.load();
  for (const item of queue.items.filter((item) => item.problem?.code === "unauthorized")) queue.again(item);
});
decorate();
chooser.load();
