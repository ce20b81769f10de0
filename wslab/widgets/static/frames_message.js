/** The message that a frame belongs to: which part it is, and what was put together and inflated. */
import { element, button, visible } from "./common.js";
import { contentPane } from "./frames_content.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {Content & {content: Uint8Array}} MessageDetail the kernel's answer and its buffer */

/** @param {number | string} count */
const grouped = (count) => BigInt(count).toLocaleString();

/**
 * The message a frame belongs to, in a sentence: "Part 2 of 3 of a TEXT message of 5,000 bytes."
 * @param {MessageDetail} message
 */
export function messageSentence(message) {
  const { part, count, open, name, carried, length, compressed, problem } = message;
  const kind = name === "CONTINUATION" ? "message whose beginning is gone" : `${name} message`;
  const place = open ? `Part ${part} of a ${kind} that has not ended; ${count} so far` : count > 1 ? `Part ${part} of ${count} of a ${kind}` : `All of a ${kind}`;
  if (compressed && (open || problem)) return `${place}, compressed: ${grouped(carried)} bytes.`;
  if (compressed) return `${place}, inflated: ${grouped(carried)} → ${grouped(length)} bytes.`;
  return `${place}: ${grouped(open ? carried : length)} bytes.`;
}

/** @typedef {{file: string, line: number, function: string}} Site */

/** @param {Site} site @param {string} done "sent" or "received" */
export function lineFact(site, done) {
  const place = `${visible(site.file)}${site.line ? `, line ${site.line}` : ""}`;
  return element("span", { "data-fact": "line" }, done === "sent" ? "Sent by " : "Received by ", element("b", {}, place), ` in ${visible(site.function)}`);
}

/** @typedef {{answered: boolean, seq: number, seconds: number, rule: string}} Exchange */

/** @param {number} seconds @returns {string} */
export const milliseconds = (seconds) => `${(seconds * 1000).toFixed(Math.abs(seconds) < 0.01 ? 2 : 1)} ms`;

/** @param {Exchange} exchange @param {(seq: number) => void} go */
function exchangeFact({ answered, seq, seconds, rule }, go) {
  const link = button(`#${seq}`, `Go to frame #${seq}`, () => go(seq));
  return element("span", { "data-fact": "exchange" }, answered ? "Answered by " : "Answers ", link, ` after ${milliseconds(seconds)} (${visible(rule)})`);
}

/**
 * The message a frame belongs to: which part it is, what was put together, and the way to the other parts.
 * @param {MessageDetail} message
 * @param {{whole: boolean, line: boolean, go: (seq: number) => void}} how `whole`: the frame is all of it and
 *   shows it already; `line`: whether the application's line is to be shown
 */
export function messageSection(message, { whole, line, go }) {
  const { seq, parts, count, open, problem, length, content, opcode, site, direction } = message;
  const facts = message.exchanges.map((/** @type {Exchange} */ exchange) => exchangeFact(exchange, go));
  if (line && site) facts.unshift(lineFact(site, direction === "in" ? "received" : "sent"));
  const fact = facts.length ? [element("p", { class: "wslab-facts" }, ...facts)] : [];
  if (whole || message.control) return element("div", {}, ...fact);
  const links = parts.map((/** @type {number} */ other) =>
    button(`#${other}`, `Go to frame #${other}`, () => go(other), other === seq ? { "aria-current": "true" } : {}),
  );
  if (count > parts.length) links.push(element("span", { class: "wslab-dim" }, `and ${count - parts.length} more`));
  const part = content.length < length ? `, first ${content.length} of ${grouped(length)} bytes` : "";
  const shown = !open && content.length ? contentPane("Message", content, { binary: opcode === 2, whole: content.length === length, part }) : null;
  return element(
    "div",
    { class: "wslab-message" },
    element("p", {}, element("b", {}, "Message"), element("span", {}, messageSentence(message)), ...(count > 1 ? links : [])),
    ...fact,
    ...(problem ? [element("p", { class: "wslab-detail-problem" }, element("b", {}, "✗"), element("span", {}, visible(problem)))] : []),
    ...(shown ? [element("h4", {}, shown.title), shown.body] : []),
  );
}
