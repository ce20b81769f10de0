/** The lab's log: events as sentences, newest last, with what explains them behind a disclosure. */
import { clock, element, liveView, visible } from "./common.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./common.js").Model} Model */
/** @typedef {{seq: number, at: number, level: string, connection: string, sentence: string, detail: string}} Line */
/** Lines are kept by level: a flood of broadcasts must not push an error out. @typedef {{lines: Map<string, Line[]>, last: number, seq: number, published: number, skipped: number}} State */

const KEPT = 500;
const LEVELS = ["debug", "info", "warning", "error"];
/** @type {{[level: string]: string}} */
const COLOURS = { debug: "wslab-dim", info: "wslab-log-info", warning: "wslab-warn", error: "wslab-error" };

/** @returns {State} */
function create() {
  return { lines: new Map(LEVELS.map((level) => [level, []])), last: -1, seq: 0, published: 0, skipped: 0 };
}

/** @param {State} state @param {Content} content */
function receive(state, content) {
  if (content.t !== "log") return;
  Object.assign(state, { seq: content.s, published: content.published, skipped: content.skipped });
  for (const [seq, at, level, connection, sentence, detail] of content.rows) {
    if (seq <= state.last) continue; // a replay that another page asked for
    state.last = seq;
    const lines = state.lines.get(level);
    lines?.push({ seq, at, level, connection, sentence, detail });
    if (lines && lines.length > KEPT) lines.splice(0, lines.length - KEPT);
  }
}

/** @param {State} state @param {number} least index of the lowest level shown @param {number} after @returns {Line[]} */
function linesOf(state, least, after) {
  const found = LEVELS.slice(least).flatMap((level) => (state.lines.get(level) ?? []).filter((line) => line.seq > after));
  return found.sort((a, b) => a.seq - b.seq).slice(-KEPT);
}

/** @param {Line} line */
function rowOf({ seq, at, level, connection, sentence, detail }) {
  const time = clock(at);
  // Lines of a traceback are lines; every other control is shown as a sign.
  const text = detail.split("\n").map(visible).join("\n");
  const body = detail
    ? element("details", { class: "wslab-log-sentence" }, element("summary", {}, visible(sentence)), element("pre", { tabindex: "0" }, text))
    : element("span", { class: "wslab-log-sentence" }, visible(sentence));
  const row = element("div", { class: "wslab-log-row" },
    element("time", { class: "wslab-dim wslab-mono", datetime: new Date(at * 1000).toISOString() }, time.slice(0, 8), element("span", { class: "wslab-log-fraction" }, time.slice(8))),
    element("span", { class: `wslab-badge ${COLOURS[level] ?? "wslab-dim"}` }, level),
    element("span", { class: "wslab-mono" }, visible(connection)), body);
  row.dataset.seq = String(seq);
  row.dataset.level = level;
  return row;
}

/** @param {State} state @param {Model} _model @param {HTMLElement} root */
function render(state, _model, root) {
  let least = 1;
  let drawn = -1;
  let unseen = 0;
  let follow = true;
  const count = element("span", { class: "wslab-dim" });
  const filter = element("select", { "aria-label": "Level", title: "The lowest level shown", onchange: () => {
    least = Number(filter.value);
    drawn = -1;
    follow = true;
    rows.replaceChildren();
    draw();
  } });
  for (const [value, label] of ["everything", "info and above", "warnings and errors", "errors"].entries()) {
    filter.append(element("option", { value, selected: value === least }, label));
  }
  const newer = element("button", { type: "button", class: "wslab-log-newer", hidden: true, onclick: () => {
    follow = true;
    unseen = 0;
    draw();
    rows.focus();
  } });
  const rows = element("div", { class: "wslab-log-rows", role: "log", "aria-label": "Events", tabindex: "0", onscroll: moved });
  // A disclosure that opens pushes the end away: whoever reads it must not be carried off by the next line.
  rows.addEventListener("toggle", moved, true);
  const empty = element("div", { class: "wslab-empty" });
  root.classList.add("wslab-log");
  root.dataset.view = "log";
  // else JupyterLab takes the keys that scroll
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.append(element("div", { class: "wslab-bar" }, element("b", {}, "Log"), count, element("span", { class: "wslab-grow" }), newer, filter), rows, empty);

  function moved() {
    follow = rows.scrollHeight - rows.scrollTop - rows.clientHeight < 24;
    if (follow) unseen = 0;
    newer.hidden = follow || !unseen;
  }

  function draw() {
    const fresh = linesOf(state, least, drawn);
    if (fresh.length) {
      drawn = fresh[fresh.length - 1].seq;
      if (!follow) unseen += fresh.length;
      rows.append(...fresh.map(rowOf));
      // What is being read stays where it is while older lines go above it.
      const [top, height] = [rows.scrollTop, rows.scrollHeight];
      while (rows.childElementCount > KEPT) rows.firstElementChild?.remove();
      if (!follow) rows.scrollTop = top - (height - rows.scrollHeight);
    }
    newer.hidden = follow || !unseen;
    newer.textContent = `↓ ${unseen} new`;
    const shown = rows.childElementCount;
    root.dataset.seq = String(state.seq);
    root.dataset.rows = String(shown);
    root.dataset.last = String(state.last);
    const skipped = state.skipped ? ` · ${state.skipped.toLocaleString("en")} skipped` : "";
    count.textContent = `${shown.toLocaleString("en")} of ${state.published.toLocaleString("en")} events${skipped}`;
    empty.hidden = shown > 0;
    empty.textContent = state.published ? "Nothing at this level." : "Nothing has happened yet.";
    rows.hidden = shown === 0;
    if (follow) rows.scrollTop = rows.scrollHeight;
  }
  return { draw };
}

export default liveView(create, receive, render);
