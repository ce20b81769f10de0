/** The frames of a lab: toolbar, list, detail. */
import { element, button, liveView, oncePerFrame, OPCODES } from "./common.js";
import { FrameStore } from "./frames_store.js";
import { DisplayFilter } from "./frames_filter.js";
import { filterBox } from "./frames_filterbox.js";
import { fieldsPanel } from "./frames_fields.js";
import { FrameList } from "./frames_list.js";
import { frameDetail } from "./frames_detail.js";
import { messageSection } from "./frames_message.js";

/** @typedef {import("./common.js").Model} Model */
/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./frames_detail.js").Detail} Detail */
/** @typedef {import("./frames_message.js").MessageDetail} MessageDetail */
/** @typedef {{store: FrameStore, details: Map<number, Detail>, messages: Map<number, MessageDetail>, history: string[], fields: string[][] | null}} State */

const DETAILS_KEPT = 100;
const PAUSE = "Pause: freeze the list; frames are still recorded (Space)";
const RESUME = "Resume: show what came meanwhile (Space)";

/** @returns {State} */
const create = () => ({ store: new FrameStore(), details: new Map(), messages: new Map(), history: [], fields: null });

/** @param {State} state @param {Content} content @param {Uint8Array[]} buffers */
function receive(state, content, buffers) {
  const { store, details, messages } = state;
  if (content.t === "frames") {
    if (content.cleared) store.clear();
    store.add(content.first, buffers[0], buffers[1], buffers[2]);
    store.skipped = content.skipped;
    (content.matches ?? []).forEach((/** @type {Content} */ match, /** @type {number} */ place) => {
      match.numbers = new Uint32Array((buffers[3 + place] ?? new Uint8Array()).buffer); // a copy of its own: `bytesOf`
    });
  } else if (content.t === "detail") {
    const empty = new Uint8Array();
    details.set(content.seq, { ...content, raw: buffers[0] ?? empty, payload: buffers[1] ?? empty });
    if (details.size > DETAILS_KEPT) details.delete([...details.keys()][0]);
  } else if (content.t === "fields") {
    state.fields = content.fields;
  } else if (content.t === "message") {
    messages.set(content.seq, { ...content, content: buffers[0] ?? new Uint8Array() });
    if (messages.size > DETAILS_KEPT) messages.delete([...messages.keys()][0]);
  }
}

/** @param {State} state @param {Model} model @param {HTMLElement} root */
function render(state, model, root) {
  const { store, details, messages, history } = state;
  root.classList.add("wslab-frames");
  root.dataset.view = "frames";
  /** @type {Detail | null} */
  let shownDetail = null;
  /** @type {MessageDetail | null} */
  let shownMessage = null;
  const messagePlace = element("div", { class: "wslab-message-place", "aria-live": "polite" });
  const pause = button("Pause", PAUSE, () => setPaused(!list.paused), { "aria-pressed": "false" });
  const newest = button("Newest ↓", "Newest: follow what comes in (Esc)", () => list.follow());
  const search = element("input", { type: "search", placeholder: "Search payload…", "aria-label": "Search the payload's first bytes" });
  const connection = element("input", { type: "search", placeholder: "conn", "aria-label": "Connection, such as c3", size: 4, class: "wslab-frames-conn" });
  const direction = element(
    "select",
    { "aria-label": "Direction" },
    element("option", { value: "" }, "in + out"),
    element("option", { value: "in" }, "→ in"),
    element("option", { value: "out" }, "← out"),
  );
  const opcode = element("select", { "aria-label": "Opcode" }, element("option", { value: "" }, "all opcodes"));
  for (const [value, name] of Object.entries(OPCODES)) opcode.append(element("option", { value }, name));
  const status = element("span", { class: "wslab-dim", role: "status", "aria-live": "off" });
  const detail = element("section", { class: "wslab-detail", role: "region", "aria-label": "Frame detail", tabindex: 0 });
  detail.hidden = true;

  const applyFilter = () => {
    const number = Number(connection.value.trim().replace(/^c/i, ""));
    list.setFilter({ text: search.value.toLowerCase(), direction: direction.value, opcode: opcode.value, connection: Number.isInteger(number) ? number : 0 });
  };
  for (const input of [search, connection]) input.addEventListener("input", applyFilter);
  for (const select of [direction, opcode]) select.addEventListener("change", applyFilter);

  /** @param {boolean} paused */
  function setPaused(paused) {
    list.setPaused(paused);
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    for (const name of ["title", "aria-label"]) pause.setAttribute(name, paused ? RESUME : PAUSE);
  }

  /** @param {number} index */
  function select(index) {
    if (index < 0) return;
    const seq = store.sequence[store.slot(index)];
    const found = details.get(seq);
    const message = messages.get(seq);
    if (!found || (found.more && (!message || message.open || !message.exchanges.length))) model.send({ t: "get", seq });
  }

  function drawDetail() {
    const index = list.selected;
    detail.hidden = index < 0;
    const seq = index < 0 ? -1 : store.sequence[store.slot(index)];
    const found = details.get(seq);
    detail.setAttribute("aria-busy", String(index >= 0 && !found));
    if (index < 0) shownDetail = shownMessage = null;
    if (!found) return; // until the answer comes, the last one stays
    const whole = messages.get(seq) ?? null;
    if (found !== shownDetail) {
      const same = shownDetail?.seq === seq; // asked for again, because its message went on
      shownDetail = found;
      shownMessage = null;
      if (same) return drawMessage(whole);
      const wereOpen = new Set(disclosures().filter((part) => part.open).map((part) => part.dataset.kind));
      messagePlace.replaceChildren();
      detail.replaceChildren(frameDetail(found, messagePlace, () => (list.follow(), list.viewport.focus())));
      for (const part of disclosures()) part.open = wereOpen.has(part.dataset.kind);
      root.dataset.seq = String(seq);
    }
    drawMessage(whole);
  }

  /** @returns {HTMLDetailsElement[]} */
  const disclosures = () => [...detail.querySelectorAll("details")];

  /** @param {MessageDetail | null} message */
  function drawMessage(message) {
    if (!message || message === shownMessage) return;
    shownMessage = message;
    const { partial, site } = /** @type {Detail} */ (shownDetail);
    messagePlace.replaceChildren(messageSection(message, { whole: !partial, line: !site, go: goTo }));
  }

  /** @param {number} seq selects that frame where the page has it, also one that the filters hide */
  function goTo(seq) {
    const index = store.indexOf(seq);
    if (store.sequence[store.slot(index)] !== seq) return;
    const position = list.positionOf(index);
    if (list.indexAt(position) === index) list.moveTo(position);
    else list.select(index);
  }

  function draw() {
    list.draw();
    drawDetail();
    box.draw();
    help.draw();
    const { begin, end } = list.range;
    const total = end - begin;
    const counted = list.matching ? `${list.count.toLocaleString()} of ${total.toLocaleString()} frames` : `${total.toLocaleString()} frames`;
    const parts = [counted];
    const busy = filter.waiting || list.filtering;
    if (busy) parts.push("filtering…");
    const unsearched = filter.unsearched(begin);
    if (unsearched) parts.push(`${unsearched.toLocaleString()} no longer in the kernel, not searched`);
    if (list.paused) parts.push(`paused, ${list.waiting.toLocaleString()} new`);
    if (store.skipped) parts.push(`${store.skipped.toLocaleString()} not shown`);
    status.textContent = parts.join(" · ");
    if (announce && !busy) {
      announce = false;
      outcome.textContent = filter.mistake ? "" : counted;
    }
    newest.hidden = list.following;
    empty.hidden = list.count > 0;
    empty.textContent = list.filtering ? "Filtering…" : list.matching && total ? "No frame matches." : "No frames yet: connect a client.";
    Object.assign(root.dataset, { rows: String(list.count), waiting: String(list.waiting), newest: String(store.newest), skipped: String(store.skipped) });
    root.dataset.filter = filter.applied.text;
    root.dataset.filtering = String(busy);
    root.classList.toggle("wslab-frames-is-paused", list.paused);
  }

  const redraw = oncePerFrame(draw);
  const filter = new DisplayFilter(store, (content) => model.send(content));
  const list = new FrameList(store, filter, { redraw, select, pause: () => setPaused(!list.paused) });
  let announce = false;
  const outcome = element("span", { class: "wslab-hidden", role: "status", "aria-live": "polite" });
  const help = fieldsPanel(() => state.fields, {
    wanted: () => model.send({ t: "fields" }),
    chosen: (text) => box.insert(text),
  });
  const box = filterBox(filter, history, [help.toggle], {
    changed: () => {
      announce = true;
      list.setFilter(list.filter);
    },
    typed: redraw,
    leave: () => list.viewport.focus(),
  });
  const empty = element("div", { class: "wslab-empty wslab-frames-empty" });
  detail.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") {
      list.follow();
      list.viewport.focus();
    }
  });
  root.append(
    element("div", { class: "wslab-bar" }, element("h3", {}, "Frames"), pause, newest, search, connection, direction, opcode, element("span", { class: "wslab-grow" }), status, outcome),
    ...box.nodes,
    help.panel,
    element("div", { class: "wslab-frames-window" }, list.viewport, empty),
    detail,
  );
  const resized = new ResizeObserver(redraw);
  resized.observe(list.viewport);
  /** @param {Content} content */
  const message = (content) => {
    if (filter.take(content)) list.setFilter(list.filter);
  };
  const dispose = () => {
    resized.disconnect();
    if (filter.asked.text || filter.active) filter.end();
  };
  return { draw, message, dispose };
}

export default liveView(create, receive, render);
