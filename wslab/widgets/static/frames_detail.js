/** One frame: its fields, its bytes, its payload, and the handshake of its connection. */
import { element, button, clock, visible } from "./common.js";
import { hex } from "./frames_store.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {{name: string, bits: string, value: string, start: number, stop: number, meaning: string}} Field */
/** @typedef {Content & {raw: Uint8Array, payload: Uint8Array}} Detail the kernel's answer and its two buffers */

const PER_LINE = 16;
const HINT = "Point at a field, or move to it with Tab, to see its bytes.";

/** @param {string} text several lines, each made harmless */
const visibleLines = (text) => text.split(/\r?\n/).map(visible).join("\n");

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
function hexDump(bytes, fields) {
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

/** @param {Field} field */
function placeOf({ start, stop }) {
  const first = start >> 3;
  const last = (stop - 1) >> 3;
  return first === last ? `byte ${first}` : `bytes ${first}–${last}`;
}

/**
 * The fields in their order, grouped by byte; pointing at one shows its bytes in `dump`, and back.
 * @param {Field[]} fields
 * @param {HTMLElement} dump
 */
function fieldStrip(fields, dump) {
  const note = element("p", { class: "wslab-field-note", "aria-live": "polite" }, HINT);
  /** @type {HTMLElement[]} */
  const cells = [];
  let pinned = -1;
  /** @param {number[]} numbers */
  const show = (numbers) => {
    const wanted = numbers.length || pinned < 0 ? numbers : [pinned];
    cells.forEach((cell, number) => cell.classList.toggle("wslab-hot", wanted.includes(number)));
    for (const bytes of dump.querySelectorAll("[data-fields]")) {
      const owners = /** @type {HTMLElement} */ (bytes).dataset.fields?.split(" ") ?? [];
      bytes.classList.toggle("wslab-hot", wanted.some((number) => owners.includes(String(number))));
    }
    const field = wanted.length === 1 ? fields[wanted[0]] : null;
    note.textContent = field ? `${field.name}, ${placeOf(field)}: ${field.meaning}` : HINT;
  };
  const strip = element("div", { class: "wslab-fields", role: "group", "aria-label": "Fields of the frame" });
  let group = element("div");
  let place = -1;
  fields.forEach((field, number) => {
    const cell = element(
      "button",
      {
        type: "button",
        class: "wslab-field",
        "aria-pressed": "false",
        onmouseenter: () => show([number]),
        onmouseleave: () => show([]),
        onfocus: () => show([number]),
        onblur: () => show([]),
        onclick: () => {
          pinned = pinned === number ? -1 : number;
          cells.forEach((other, at) => other.setAttribute("aria-pressed", String(at === pinned)));
        },
      },
      element("b", {}, field.name),
      ...(field.bits ? [element("code", {}, field.bits)] : []),
      ...(field.value ? [element("span", {}, visible(field.value))] : []),
    );
    cells.push(cell);
    if (field.start >> 3 !== place) {
      place = field.start >> 3;
      group = element("div", { class: "wslab-field-cells" });
      strip.append(element("div", { class: "wslab-field-byte" }, element("small", {}, placeOf(field)), group));
    }
    group.append(cell);
  });
  dump.addEventListener("mouseover", (event) => {
    const target = /** @type {Element} */ (event.target).closest("[data-fields]");
    const owners = target ? (/** @type {HTMLElement} */ (target).dataset.fields ?? "") : "";
    show(owners ? owners.split(" ").map(Number) : []);
  });
  dump.addEventListener("mouseleave", () => show([]));
  return element("div", {}, strip, note);
}

/** @param {Detail} detail @returns {{title: string, body: HTMLElement}} the payload for a reader */
function payloadPane(detail) {
  const { payload, opcode, compressed, whole } = detail;
  const part = whole ? "" : `, first ${payload.length} of ${detail.length} bytes`;
  /** @param {string} title @param {string} text */
  const pre = (title, text) => ({ title: title + part, body: element("pre", { class: "wslab-payload wslab-mono" }, visibleLines(text)) });
  if (!payload.length) return { title: "No payload", body: element("span", {}) };
  if (opcode === 8 && payload.length >= 2) {
    return pre(`Close ${(payload[0] << 8) | payload[1]}, reason`, new TextDecoder("utf-8", { ignoreBOM: true }).decode(payload.subarray(2)) || "(none)");
  }
  if (compressed) return { title: `Payload, compressed${part}`, body: hexDump(payload, []) };
  if (opcode === 2) return { title: `Payload, unmasked${part}`, body: hexDump(payload, []) };
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: whole, ignoreBOM: true }).decode(payload);
  } catch {
    return { title: `Payload, not UTF-8${part}`, body: hexDump(payload, []) };
  }
  try {
    const value = JSON.parse(text);
    if (typeof value === "object" && value !== null) return pre("Payload, as JSON", indentJson(text));
  } catch {
    // text that is no JSON is shown as it is
  }
  return pre("Payload, as text", text);
}

/** @param {Detail} detail */
function handshake(detail) {
  /** @param {string} title @param {string} head */
  const part = (title, head) =>
    element("div", {}, element("h4", {}, title), element("pre", { class: "wslab-mono" }, visibleLines(head.trimEnd()) || "(not recorded)"));
  return element(
    "details",
    { class: "wslab-handshake" },
    element("summary", {}, `Handshake of ${detail.connection}`),
    element("div", { class: "wslab-detail-columns" }, part("Request", detail.request), part("Response", detail.response)),
  );
}

/**
 * Builds the pane of one frame.
 * @param {Detail} detail
 * @param {() => void} close
 * @returns {HTMLElement}
 */
export function frameDetail(detail, close) {
  const closer = button("×", "Close the detail and follow the newest frame (Esc)", close, { class: "wslab-detail-close" });
  if (detail.gone) {
    const why = "The kernel no longer keeps this frame: newer ones took its place, or the record was cleared.";
    return element("div", {}, element("div", { class: "wslab-detail-title" }, element("b", {}, `Frame #${detail.seq}`), closer), element("p", {}, why));
  }
  const way = detail.direction === "in" ? "client → server" : "server → client";
  const title = element(
    "div",
    { class: "wslab-detail-title" },
    element("b", {}, `Frame #${detail.seq}`),
    element("span", {}, detail.name),
    element("span", {}, way),
    element("span", {}, `${detail.connection} (${visible(detail.peer)})`),
    element("span", { class: "wslab-mono" }, clock(detail.at)),
    element("span", {}, `${detail.wire} bytes on the wire${detail.kept < detail.wire ? `, ${detail.kept} kept` : ""}`),
    element("span", { class: "wslab-grow" }),
    closer,
  );
  const dump = hexDump(detail.raw, detail.fields);
  const payload = payloadPane(detail);
  const cut = detail.raw.length < detail.kept ? `, first ${detail.raw.length}` : "";
  return element(
    "div",
    {},
    title,
    ...(detail.problem ? [element("p", { class: "wslab-detail-problem" }, element("b", {}, "✗ Problem: "), visible(detail.problem))] : []),
    fieldStrip(detail.fields, dump),
    element(
      "div",
      { class: "wslab-detail-columns" },
      element("div", {}, element("h4", {}, `Bytes on the wire${cut}`), dump),
      element("div", {}, element("h4", {}, payload.title), payload.body),
    ),
    handshake(detail),
  );
}
