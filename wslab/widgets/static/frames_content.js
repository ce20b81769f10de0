/** Bytes for a reader: a hex dump, text, JSON. */
import { element, visible } from "./common.js";
import { hex } from "./frames_store.js";

/** @typedef {{name: string, bits: string, value: string, start: number, stop: number, meaning: string}} Field */
/** @typedef {{title: string, body: HTMLElement}} Pane */

const PER_LINE = 16;

/** @param {string} text several lines, each made harmless */
export const visibleLines = (text) => text.split(/\r?\n/).map(visible).join("\n");

/**
 * Indents JSON without reading it into values: numbers keep their digits, keys their order and doubles.
 * @param {string} text valid JSON
 */
export function indentJson(text) {
  let depth = 0;
  let out = "";
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  tokens.forEach((token, i) => {
    const empty = tokens[i + 1] === "}" || tokens[i + 1] === "]";
    if (token === "{" || token === "[") {
      depth++;
      out += empty ? token : `${token}\n${"  ".repeat(depth)}`;
    } else if (token === "}" || token === "]") {
      depth--;
      const opened = tokens[i - 1] === "{" || tokens[i - 1] === "[";
      out += opened ? token : `\n${"  ".repeat(depth)}${token}`;
    } else if (token === ",") out += `,\n${"  ".repeat(depth)}`;
    else out += token === ":" ? ": " : token;
  });
  return out;
}

/**
 * A hex dump whose bytes know their fields.
 * @param {Uint8Array} bytes
 * @param {Field[]} fields
 */
export function hexDump(bytes, fields) {
  const dump = element("div", { class: "wslab-hex wslab-mono" });
  /** @param {number} at @returns {string} numbers of the fields that byte `at` belongs to */
  const ownersOf = (at) =>
    fields.flatMap((field, number) => (field.start < at * 8 + 8 && field.stop > at * 8 ? [number] : [])).join(" ");
  const headerOwners = Array.from({ length: Math.min(bytes.length, 20) }, (_, at) => ownersOf(at));
  for (let start = 0; start < bytes.length; start += PER_LINE) {
    const line = element("div", {}, element("span", { class: "wslab-dim" }, `${start.toString(16).padStart(4, "0")}  `));
    const stop = Math.min(start + PER_LINE, bytes.length);
    for (let at = start; at < stop; ) {
      const owners = headerOwners[at] ?? ownersOf(at);
      let end = at + 1;
      while (end < stop && (headerOwners[end] ?? ownersOf(end)) === owners) end++;
      line.append(element("span", { "data-fields": owners, class: "wslab-bytes" }, hex(bytes.subarray(at, end))), " ");
      at = end;
    }
    const missing = "   ".repeat(PER_LINE - (stop - start));
    const ascii = Array.from(bytes.subarray(start, stop), (byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : "·"));
    line.append(element("span", { class: "wslab-ascii" }, `${missing} ${ascii.join("")}`));
    dump.append(line);
  }
  return dump;
}

/** @param {string} title @param {string} text @returns {Pane} */
export const textPane = (title, text) => ({ title, body: element("pre", { class: "wslab-payload wslab-mono" }, visibleLines(text)) });

/**
 * A payload or a message for a reader: JSON, text, or bytes.
 * @param {string} what
 * @param {Uint8Array} bytes
 * @param {{binary: boolean, whole: boolean, part: string}} how `part` says which bytes of how many, "" for all
 * @returns {Pane}
 */
export function contentPane(what, bytes, { binary, whole, part }) {
  if (binary) return { title: `${what}${part}`, body: hexDump(bytes, []) };
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: whole, ignoreBOM: true }).decode(bytes);
  } catch {
    return { title: `${what}, not UTF-8${part}`, body: hexDump(bytes, []) };
  }
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null) return textPane(`${what}, as JSON${part}`, indentJson(text));
  } catch {
    // text that is no JSON is shown as it is
  }
  return textPane(`${what}, as text${part}`, text);
}
