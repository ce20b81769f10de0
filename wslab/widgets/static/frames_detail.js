/** One frame: its fields, its bytes, its payload, and the handshake of its connection. */
import { element, button, clock, visible } from "./common.js";
import { contentPane, hexDump, textPane, visibleLines } from "./frames_content.js";
import { disclosure, explained } from "./frames_explained.js";
import { lineFact, milliseconds } from "./frames_message.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./frames_content.js").Field} Field */
/** @typedef {import("./frames_content.js").Pane} Pane */
/** @typedef {Content & {raw: Uint8Array, payload: Uint8Array}} Detail the kernel's answer and its two buffers */

const HINT = "Point at a field, or move to it with Tab, to see its bytes.";

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

/** @param {Detail} detail @returns {Pane} the payload for a reader */
function payloadPane(detail) {
  const { payload, opcode, compressed, whole } = detail;
  const part = whole ? "" : `, first ${payload.length} of ${detail.length} bytes`;
  if (!payload.length) return { title: "No payload", body: element("span", {}) };
  if (opcode === 8 && payload.length >= 2) {
    const reason = new TextDecoder("utf-8", { ignoreBOM: true }).decode(payload.subarray(2));
    return textPane(`Close ${(payload[0] << 8) | payload[1]}, reason${part}`, reason || "(none)");
  }
  if (compressed) return contentPane("Payload, compressed", payload, { binary: true, whole, part });
  // what goes on with a text may begin or end inside of a character
  return contentPane(opcode === 2 ? "Payload, unmasked" : "Payload", payload, { binary: opcode === 2, whole: whole && !detail.partial, part });
}

/** @param {Detail} detail */
function handshake(detail) {
  /** @param {string} title @param {string} head */
  const part = (title, head) =>
    element("div", {}, element("h4", {}, title), element("pre", { class: "wslab-mono" }, visibleLines(head.trimEnd()) || "(not recorded)"));
  return disclosure(
    `Handshake of ${detail.connection}`,
    element("div", { class: "wslab-detail-columns" }, part("Request", detail.request), part("Response", detail.response)),
    explained(detail.handshake),
  );
}

/**
 * What is known of the frame beside its bytes: the application's line, the two clocks, the loop's lag.
 * @param {Detail} detail
 */
function facts({ at, direction, site, sent_at: sent, lag, members, connections }) {
  const known = [];
  if (site) known.push(lineFact(site, direction === "in" ? "received" : "sent"));
  if (sent !== null && sent <= at) known.push(element("span", { "data-fact": "sent" }, "Sent ", element("b", {}, milliseconds(at - sent)), " before it was read"));
  if (lag > 0) known.push(element("span", { "data-fact": "lag" }, "The loop was ", element("b", {}, milliseconds(lag)), " late"));
  if (members > 1) {
    const more = members > connections.length ? ` and ${members - connections.length} more` : "";
    known.push(element("span", { "data-fact": "members" }, "Sent to ", element("b", {}, `${members} connections`), ` at once: ${connections.join(" ")}${more}`));
  }
  return element("p", { class: "wslab-facts" }, ...known);
}

/**
 * Builds the pane of one frame.
 * @param {Detail} detail
 * @param {HTMLElement} message where the message it belongs to is shown, as soon as it is known
 * @param {() => void} close
 * @returns {HTMLElement}
 */
export function frameDetail(detail, message, close) {
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
    facts(detail),
    ...(detail.problem ? [element("p", { class: "wslab-detail-problem" }, element("b", {}, "✗ Problem: "), visible(detail.problem))] : []),
    fieldStrip(detail.fields, dump),
    element(
      "div",
      { class: "wslab-detail-columns" },
      element("div", {}, element("h4", {}, `Bytes on the wire${cut}`), dump),
      element("div", {}, element("h4", {}, payload.title), payload.body),
    ),
    message,
    ...detail.explained.map((/** @type {import("./frames_explained.js").Explanation} */ part) => disclosure(part.title, explained({ ...part, title: "" }))),
    handshake(detail),
  );
}
