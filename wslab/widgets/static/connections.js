/** The table of connections, with a button to close each. */
import { element, button, liveView, size, visible } from "./common.js";

/** @typedef {import("./common.js").Model} Model */
/** @typedef {import("./common.js").Content} Content */
/**
 * A row as the kernel sends it: id, state, peer, path, via, rooms, messages in and out, bytes in and
 * out, close code (0 for none), who closed, reason.
 * @typedef {[string, string, string, string, string, string, number, number, number, number, number, string, string]} Row
 */
/**
 * @typedef {{rows: Map<string, Row>, order: string[], open: number, ever: number, hidden: number,
 *   said: string, failed: boolean, altered: {[way: string]: string}}} State
 */
/** @typedef {{element: HTMLElement, cells: HTMLElement[], badge: HTMLElement, close: HTMLButtonElement, end: HTMLElement, row: Row | null}} Line */

const COLUMNS = ["id", "state", "peer", "path", "via", "rooms", "in", "out", "bytes in", "bytes out", "close"];
const NUMBERS = 6; // columns from here to the last but one are numbers

/** @type {{[state: string]: string}} */
const COLOURS = { open: "wslab-ok", connecting: "wslab-dim", closing: "wslab-warn", closed: "wslab-dim", refused: "wslab-error" };

/** @type {[number, string][]} */
const CODES = [
  [1000, "normal"],
  [1001, "going away"],
  [1008, "policy violation"],
  [1011, "internal error"],
  [1012, "service restart"],
  [1013, "try again later"],
  [4000, "application's own"],
];

/** @returns {State} */
const create = () => ({ rows: new Map(), order: [], open: 0, ever: 0, hidden: 0, said: "", failed: false, altered: {} });

/** @param {State} state @param {Content} content */
function receive(state, content) {
  if (content.t === "said") {
    state.said = content.text;
    state.failed = content.failed;
  } else if (content.t === "rows") {
    for (const row of content.rows) state.rows.set(row[0], row);
    if (content.order) {
      state.order = content.order;
      const kept = new Set(state.order);
      for (const id of state.rows.keys()) if (!kept.has(id)) state.rows.delete(id);
    }
    state.open = content.open;
    state.ever = content.ever;
    state.hidden = content.hidden;
    if (content.altered) state.altered = content.altered;
  }
}

/** @param {State} state @param {Model} model @param {HTMLElement} root */
function render(state, model, root) {
  root.classList.add("wslab-connections");
  root.dataset.view = "connections";
  let openOnly = false;
  /** @type {Map<string, Line>} */
  const lines = new Map();

  const count = element("span", { class: "wslab-dim" });
  const filter = button("open only", "Open only: hide connections that have ended", () => {
    openOnly = !openOnly;
    filter.setAttribute("aria-pressed", String(openOnly));
    draw();
  });
  filter.setAttribute("aria-pressed", "false");
  const code = element("select", { "aria-label": "Close code" });
  for (const [value, name] of CODES) code.append(element("option", { value }, `${value} ${name}`));
  code.append(element("option", { value: "" }, "another code…"));
  const typed = element("input", { type: "number", min: 1000, max: 4999, placeholder: "code", "aria-label": "Another close code" });
  typed.hidden = true;
  code.addEventListener("change", () => {
    typed.hidden = code.value !== "";
    if (!typed.hidden) typed.focus();
  });
  const reason = element("input", { placeholder: "reason", "aria-label": "Reason, at most 123 bytes", maxlength: 123 });
  const said = element("div", { class: "wslab-connections-said", role: "status" });
  const body = element("tbody");
  const head = element("tr");
  COLUMNS.forEach((name, at) => head.append(element("th", { scope: "col", class: at >= NUMBERS && at < COLUMNS.length - 1 ? "wslab-number" : "" }, name)));
  const empty = element("div", { class: "wslab-empty" });
  const scroll = element(
    "div",
    { class: "wslab-connections-scroll", tabindex: 0, role: "region", "aria-label": "Connections" },
    element("table", {}, element("thead", {}, head), body),
    empty,
  );
  root.append(
    element(
      "div",
      { class: "wslab-bar" },
      element("h3", {}, "Connections"),
      count,
      filter,
      element("span", { class: "wslab-grow" }),
      element("label", { class: "wslab-dim" }, "close with ", code),
      typed,
      reason,
    ),
    scroll,
    said,
  );

  /** @param {string} id */
  function close(id) {
    const chosen = code.value || typed.value;
    model.send({ t: "close", id, code: chosen === "" ? null : Number(chosen), reason: reason.value });
  }

  /** @param {string} id @returns {Line} */
  function newLine(id) {
    const cells = COLUMNS.map((_, at) => element("td", { class: at >= NUMBERS && at < COLUMNS.length - 1 ? "wslab-number" : "" }));
    const badge = element("span", { class: "wslab-badge" });
    const closer = button("close", `Close ${id} with the chosen code`, () => close(id));
    const end = element("span");
    cells[1].append(badge);
    cells[10].append(closer, end);
    const line = { element: element("tr", { "data-id": id }, ...cells), cells, badge, close: closer, end, row: null };
    lines.set(id, line);
    return line;
  }

  /** @param {Line} line @param {Row} row */
  function fill(line, row) {
    if (line.row === row) return;
    line.row = row;
    const [id, status, peer, path, via, rooms, messagesIn, messagesOut, bytesIn, bytesOut, endCode, by, why] = row;
    const texts = [id, "", peer, path, via, rooms, String(messagesIn), String(messagesOut), size(bytesIn), size(bytesOut)];
    texts.forEach((text, at) => {
      if (at !== 1) line.cells[at].textContent = visible(text);
      if (at >= 2 && at <= 5) line.cells[at].title = visible(text);
    });
    // what the way in alters of the connection, such as its close codes
    const altered = state.altered[via] ?? "";
    line.cells[4].classList.toggle("wslab-altered", Boolean(altered));
    if (altered) line.cells[4].title = `${via}: ${altered}`;
    line.badge.textContent = status;
    line.badge.className = `wslab-badge ${COLOURS[status] ?? ""}`;
    line.element.dataset.state = status;
    line.close.hidden = status !== "open";
    line.end.hidden = status === "open";
    line.end.textContent = endCode ? `${endCode} ${by || "nobody"}` : "";
    line.end.title = endCode ? visible(`${endCode}${why ? ` (${why})` : ""}, closed first by: ${by || "nobody"}`) : "";
  }

  function draw() {
    const focused = document.activeElement;
    const shown = state.order.filter((id) => !openOnly || ["open", "connecting", "closing"].includes(state.rows.get(id)?.[1] ?? ""));
    let place = body.firstChild;
    for (const id of shown) {
      const row = state.rows.get(id);
      if (!row) continue;
      const line = lines.get(id) ?? newLine(id);
      fill(line, row);
      if (line.element === place) place = place.nextSibling;
      else body.insertBefore(line.element, place);
    }
    while (place) {
      const next = place.nextSibling;
      lines.delete(/** @type {HTMLElement} */ (place).dataset.id ?? "");
      place.remove();
      place = next;
    }
    // moving a row takes the focus from its button
    if (focused instanceof HTMLElement && body.contains(focused) && document.activeElement !== focused) focused.focus();
    count.textContent = `${state.open} open of ${state.ever}` + (state.hidden ? ` · ${state.hidden} not shown` : "");
    empty.hidden = shown.length > 0;
    empty.textContent = state.ever ? "None is open." : "No connections yet: connect a client.";
    said.textContent = visible(state.said);
    said.hidden = !state.said;
    said.classList.toggle("wslab-error", state.failed);
    Object.assign(root.dataset, { rows: String(shown.length), open: String(state.open) });
  }

  return { draw };
}

export default liveView(create, receive, render);
