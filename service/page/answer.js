/** The prediction in words and bars: its label, the other labels, warnings and facts of the video. */

import { make, setVariables } from "./dom.js";
import { hasKey } from "./key.js";
import { acceptedLabels, clock, human, likely, percent, warningWords } from "./words.js";

const MOST_LABELS_SHOWN = 8;
// The timeline shows this warning.
const ATTENTION_WARNING = "attention_not_explanatory";

/**
 * The elements that show a prediction.
 * @param {Prediction} prediction
 * @param {Manifest | null} manifest  null until it has arrived
 * @param {HTMLElement[]} actions
 */
export function answerNodes(prediction, manifest, actions) {
  const isMultiLabel = manifest?.head === "multi_label" || acceptedLabels(prediction).length > 1;
  // In a multi-label model each label has a threshold of its own: there is no common line.
  const threshold = isMultiLabel ? null : (manifest?.abstention_threshold ?? null);
  return [
    make("h3", { className: "eyebrow", textContent: `Prediction of ${prediction.model.name}` }),
    ...(isMultiLabel ? verdicts(prediction) : verdict(prediction.prediction, threshold)),
    probabilities(prediction, threshold),
    ...(isMultiLabel ? [make("p", { className: "threshold-note", textContent: "The labels are independent: none, one or several may apply." })] : thresholdNote(threshold)),
    ...labelSetNote(prediction, manifest),
    ...prediction.warnings.filter((warning) => warning.code !== ATTENTION_WARNING).map((warning) => make("p", { className: "warning", title: warning.message, textContent: warningWords(warning) })),
    facts(prediction),
    ...actions,
  ];
}

/**
 * @param {LabelProbability} decision
 * @param {number | null} threshold
 */
function verdict(decision, threshold) {
  if (decision.accepted) {
    return [make("p", { className: "verdict" }, make("strong", { textContent: human(decision.label) }), make("span", { textContent: likely(decision.probability) }))];
  }
  const line = threshold === null ? "" : `, below its threshold of ${percent(threshold)}`;
  return [
    make("p", { className: "verdict unsure" }, make("strong", { textContent: "Not sure" })),
    make("p", { className: "guess", textContent: `The most probable label is ${human(decision.label)}, with ${likely(decision.probability)}${line}.` }),
  ];
}

/**
 * The accepted labels of a multi-label model.
 * @param {Prediction} prediction
 */
function verdicts(prediction) {
  const labels = acceptedLabels(prediction);
  if (labels.length === 0) return [make("p", { className: "verdict unsure" }, make("strong", { textContent: "No label applies" }))];
  return [make("p", { className: `verdict${labels.length > 1 ? " several" : ""}` }, make("strong", { textContent: labels.map(human).join(", ") }))];
}

/**
 * @param {Prediction} prediction
 * @param {Manifest | null} manifest
 */
function labelSetNote({ label_set: labels }, manifest) {
  if (!labels || labels.length < 2 || !manifest?.conformal) return [];
  const sure = percent(manifest.conformal.coverage);
  const text = labels.length === manifest.labels.length ? `With ${sure} confidence, no label can be excluded.` : `With ${sure} confidence, the label is ${labels.map(human).join(" or ")}.`;
  return [make("p", { className: "threshold-note", textContent: text })];
}

/**
 * @param {Prediction} prediction
 * @param {number | null} threshold
 */
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

/** @param {number | null} threshold */
function thresholdNote(threshold) {
  if (threshold === null || threshold === 0) return [];
  return [make("p", { className: "threshold-note", textContent: `Below ${percent(threshold)}, the dashed line, the model abstains: “not sure”.` })];
}

/** @param {number} milliseconds */
const took = (milliseconds) => (milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : clock(milliseconds / 1000));

/** @param {Prediction} prediction */
function facts(prediction) {
  const { video, timings_ms: timings } = prediction;
  const rate = video.is_variable_frame_rate ? "variable frame rate" : video.frame_rate === null ? "" : `${Number(video.frame_rate.toFixed(2))} frames/s`;
  const rows = [
    ["Video", `${video.width} × ${video.height}, ${clock(video.duration_seconds)}`],
    ["Coded as", [`${video.codec} in ${video.container}`, rate].filter(Boolean).join(", ")],
    ["Analysed", `${video.num_frames_sampled} frames in ${prediction.clips.length} ${prediction.clips.length === 1 ? "clip" : "clips"}`],
    ["Took", `${took(timings.total)}, of which decoding ${took(timings.decode)}`],
  ];
  if (video.rotation_degrees) rows.push(["Turned", `${video.rotation_degrees}° to stand upright`]);
  if (video.is_mirrored) rows.push(["Mirrored", "left to right"]);
  if (video.audio === "ignored") rows.push(["Sound", "ignored"]);
  return make("dl", { className: "facts" }, ...rows.flatMap(([term, text]) => [make("dt", { textContent: term }), make("dd", { textContent: text })]));
}

/**
 * The shell command that sends the same request.
 * @param {import("./queue.js").Item} item
 * @param {string} path
 */
export function curlCommand(item, path) {
  /** @param {string} text */
  const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;
  const form = `video=@"${item.file.name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  // The key itself is never shown.
  const key = hasKey() ? '-H "Authorization: Bearer $FRAMEWISE_API_KEY" ' : "";
  return `curl ${key}-F ${quoted(form)} ${quoted(new URL(path, document.baseURI).href)}`;
}
