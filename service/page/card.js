/** Converts the Markdown of a model card to elements. Only the forms below are converted; everything else is text. */

import { make } from "./dom.js";

const INLINE = /(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\(https?:\/\/[^)\s]+\))/;

/** @param {string} markdown */
export function cardNodes(markdown) {
  const lines = markdown.replaceAll("\r", "").split("\n");
  const nodes = [];
  while (lines.length > 0) nodes.push(...block(lines));
  return nodes;
}

/**
 * Remove one block from the front of `lines` and convert it.
 * @param {string[]} lines
 * @returns {HTMLElement[]}
 */
function block(lines) {
  const line = lines.shift() ?? "";
  if (line.trim() === "") return [];
  const heading = /^(#{1,6})\s+(.*)$/.exec(line);
  if (heading) return [make(/** @type {"h4" | "h5" | "h6"} */ (`h${Math.min(heading[1].length + 3, 6)}`), {}, ...inline(heading[2]))];
  if (line.startsWith("```")) return [codeBlock(lines)];
  if (/^\s*\|/.test(line)) return [table([line, ...takeWhile(lines, (next) => /^\s*\|/.test(next))])];
  const bullet = /^\s*(?:[-*]|(\d+)\.)\s+(.*)$/;
  if (bullet.test(line)) return [list(line, lines, bullet)];
  const rest = takeWhile(lines, (next) => next.trim() !== "" && !/^(#{1,6}\s|```|\s*\||\s*(?:[-*]|\d+\.)\s)/.test(next));
  return [make("p", {}, ...inline([line, ...rest].join(" ")))];
}

/** @param {string[]} lines */
function codeBlock(lines) {
  const code = takeWhile(lines, (next) => !next.startsWith("```"));
  lines.shift();
  return make("pre", { textContent: code.join("\n"), tabIndex: 0 });
}

/**
 * @param {string} first
 * @param {string[]} lines
 * @param {RegExp} bullet
 */
function list(first, lines, bullet) {
  /** @type {string[]} */
  const items = [];
  for (const line of [first, ...takeWhile(lines, (next) => bullet.test(next) || /^\s{2,}\S/.test(next))]) {
    const match = bullet.exec(line);
    if (match) items.push(match[2]);
    else items.push(`${items.pop()} ${line.trim()}`);
  }
  return make(bullet.exec(first)?.[1] ? "ol" : "ul", {}, ...items.map((item) => make("li", {}, ...inline(item))));
}

/** @param {string[]} lines */
function table(lines) {
  const rows = lines
    .filter((line) => !/^[\s|:-]+$/.test(line))
    .map((line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim()));
  /**
   * @param {string[]} row
   * @param {"th" | "td"} tag
   */
  const cells = (row, tag) => make("tr", {}, ...row.map((cell) => make(tag, {}, ...inline(cell))));
  const [head, ...body] = rows;
  return make("div", { className: "table", tabIndex: 0 }, make("table", {}, make("thead", {}, cells(head, "th")), make("tbody", {}, ...body.map((row) => cells(row, "td")))));
}

/**
 * @param {string} text
 * @returns {(HTMLElement | string)[]}
 */
function inline(text) {
  return text.split(INLINE).filter(Boolean).map((part) => {
    const link = /^\[([^\]]+)\]\((https?:\/\/[^)\s]+)\)$/.exec(part);
    if (link) return make("a", { href: link[2], rel: "noreferrer noopener", target: "_blank", textContent: link[1] });
    if (/^`[^`]+`$/.test(part)) return make("code", { textContent: part.slice(1, -1) });
    if (/^\*\*[^*]+\*\*$/.test(part)) return make("strong", { textContent: part.slice(2, -2) });
    return part;
  });
}

/**
 * Remove the lines at the front that fulfil the condition.
 * @param {string[]} lines
 * @param {(line: string) => boolean} isWanted
 */
function takeWhile(lines, isWanted) {
  const end = lines.findIndex((line) => !isWanted(line));
  return lines.splice(0, end < 0 ? lines.length : end);
}
