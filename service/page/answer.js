/** The answer in words and bars: the label, what else it could be, and what to know about it. */

import { make, setVariables } from "./dom.js";
import { hasKey } from "./key.js";
import { acceptedLabels, clock, human, likely, percent, warningWords } from "./words.js";

const MOST_LABELS_SHOWN = 8;
// The timeline says it, next to the bars it is about.
const ATTENTION_WARNING = "attention_not_explanatory";

/**
 * @param {object} prediction
 * @param {object | null} manifest  what the model says of itself, once it is known
 */
export function answerNodes(prediction, manifest, actions) {
  const isMultiLabel = manifest?.head === "multi_label" || acceptedLabels(prediction).length > 1;
  // Labels that stand for themselves have each a threshold of its own: no one line is theirs.
  const threshold = isMultiLabel ? null : (manifest?.abstention_threshold ?? null);
  return [
    make("h3", { className: "eyebrow", textContent: `${prediction.model.name} says` }),
    ...(isMultiLabel ? verdicts(prediction) : verdict(prediction.prediction, threshold)),
    probabilities(prediction, threshold),
    ...(isMultiLabel ? [make("p", { className: "threshold-note", textContent: "Each label stands for itself: none, one or several may hold." })] : thresholdNote(threshold)),
    ...labelSetNote(prediction, manifest),
    ...prediction.warnings.filter((warning) => warning.code !== ATTENTION_WARNING).map((warning) => make("p", { className: "warning", title: warning.message, textContent: warningWords(warning) })),
    facts(prediction),
    ...actions,
  ];
}

function verdict(decision, threshold) {
  if (decision.accepted) {
    return [make("p", { className: "verdict" }, make("strong", { textContent: human(decision.label) }), make("span", { textContent: likely(decision.probability) }))];
  }
  const line = threshold === null ? "" : `, less than the ${percent(threshold)} it needs`;
  return [
    make("p", { className: "verdict unsure" }, make("strong", { textContent: "Not sure enough to say" })),
    make("p", { className: "guess", textContent: `Its best guess is ${human(decision.label)}, at ${likely(decision.probability)}${line}.` }),
  ];
}

/** Where labels do not exclude each other: those that hold, or that none does. */
function verdicts(prediction) {
  const labels = acceptedLabels(prediction);
  if (labels.length === 0) return [make("p", { className: "verdict unsure" }, make("strong", { textContent: "None of its labels" }))];
  return [make("p", { className: `verdict${labels.length > 1 ? " several" : ""}` }, make("strong", { textContent: labels.map(human).join(", ") }))];
}

function labelSetNote({ label_set: labels }, manifest) {
  if (!labels || labels.length < 2 || !manifest?.conformal) return [];
  const sure = percent(manifest.conformal.coverage);
  const text = labels.length === manifest.labels.length ? `To be right ${sure} of the time, it would have to leave every label open.` : `To be right ${sure} of the time, it would say: ${labels.map(human).join(" or ")}.`;
  return [make("p", { className: "threshold-note", textContent: text })];
}

function probabilities(prediction, threshold) {
  const list = make("ul", { className: "probabilities", "aria-label": "Probabilities" });
  prediction.probabilities.slice(0, MOST_LABELS_SHOWN).forEach(({ label, probability, accepted }) => {
    const bar = make("span", { className: "probability-bar", "aria-hidden": "true" });
    setVariables(bar, { share: probability });
    list.append(make("li", { className: accepted ? "first" : "" }, make("span", { className: "probability-label", textContent: human(label) }), bar, make("span", { className: "probability-value", textContent: percent(probability, 1) })));
  });
  const numHidden = prediction.probabilities.length - MOST_LABELS_SHOWN;
  if (numHidden > 0) list.append(make("li", { className: "rest", textContent: `and ${numHidden} less likely` }));
  if (threshold !== null && threshold > 0) {
    list.classList.add("with-threshold");
    setVariables(list, { threshold });
  }
  return list;
}

function thresholdNote(threshold) {
  if (threshold === null || threshold === 0) return [];
  return [make("p", { className: "threshold-note", textContent: `Under ${percent(threshold)}, the dashed line, its answer is “not sure”.` })];
}

const took = (milliseconds) => (milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : clock(milliseconds / 1000));

function facts(prediction) {
  const { video, timings_ms: timings } = prediction;
  const rate = video.is_variable_frame_rate ? "variable frame rate" : video.frame_rate === null ? "" : `${+video.frame_rate.toFixed(2)} frames/s`;
  const rows = [
    ["Video", `${video.width} × ${video.height}, ${clock(video.duration_seconds)}`],
    ["Coded as", [`${video.codec} in ${video.container}`, rate].filter(Boolean).join(", ")],
    ["Looked at", `${video.num_frames_sampled} frames in ${prediction.clips.length} ${prediction.clips.length === 1 ? "clip" : "clips"}`],
    ["Took", `${took(timings.total)}, of which decoding ${took(timings.decode)}`],
  ];
  if (video.rotation_degrees) rows.push(["Turned", `${video.rotation_degrees}° to stand upright`]);
  if (video.is_mirrored) rows.push(["Mirrored", "left to right"]);
  if (video.audio === "ignored") rows.push(["Sound", "not listened to"]);
  return make("dl", { className: "facts" }, ...rows.flatMap(([term, text]) => [make("dt", { textContent: term }), make("dd", { textContent: text })]));
}

/** The command that asks the same from a shell. */
export function curlCommand(item, path) {
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const form = `video=@"${item.file.name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  // A key is never shown: the shell knows it by a name.
  const key = hasKey() ? '-H "Authorization: Bearer $FRAMEWISE_API_KEY" ' : "";
  return `curl ${key}-F ${quoted(form)} ${quoted(new URL(path, document.baseURI).href)}`;
}
