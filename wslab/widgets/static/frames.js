/** The frames of a lab: toolbar, list, detail. */
import { element, button, liveView, oncePerFrame, OPCODES } from "./common.js";
import { FrameStore } from "./frames_store.js";
import { FrameList } from "./frames_list.js";
import { frameDetail } from "./frames_detail.js";

/** @typedef {import("./common.js").Model} Model */
/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./frames_detail.js").Detail} Detail */
/** @typedef {{store: FrameStore, details: Map<number, Detail>}} State */

const DETAILS_KEPT = 100;
const PAUSE = "Pause: freeze the list; frames are still recorded (Space)";
const RESUME = "Resume: show what came meanwhile (Space)";

/** @returns {State} */
const create = () => ({ store: new FrameStore(), details: new Map() });

/** @param {State} state @param {Content} content @param {Uint8Array[]} buffers */
function receive({ store, details }, content, buffers) {
  if (content.t === "frames") {
    if (content.cleared) store.clear();
    store.add(content.first, buffers[0], buffers[1]);
    store.skipped = content.skipped;
  } else if (content.t === "detail") {
    const empty = new Uint8Array();
    details.set(content.seq, { ...content, raw: buffers[0] ?? empty, payload: buffers[1] ?? empty });
    if (details.size > DETAILS_KEPT) details.delete([...details.keys()][0]);
  }
}

/** @param {State} state @param {Model} model @param {HTMLElement} root */
function render({ store, details }, model, root) {
  root.classList.add("wslab-frames");
  root.dataset.view = "frames";
  let shownDetail = -1;
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
    if (!details.has(seq)) model.send({ t: "get", seq });
  }

  function drawDetail() {
    const index = list.selected;
    detail.hidden = index < 0;
    const seq = index < 0 ? -1 : store.sequence[store.slot(index)];
    const found = details.get(seq);
    detail.setAttribute("aria-busy", String(index >= 0 && !found));
    if (index < 0) shownDetail = -1;
    if (!found || seq === shownDetail) return; // until the answer comes, the last one stays
    shownDetail = seq;
    const wasOpen = detail.querySelector("details")?.open ?? false;
    detail.replaceChildren(frameDetail(found, () => (list.follow(), list.viewport.focus())));
    const disclosure = detail.querySelector("details");
    if (disclosure) disclosure.open = wasOpen;
    root.dataset.seq = String(seq);
  }

  function draw() {
    list.draw();
    drawDetail();
    const { begin, end } = list.range;
    const total = end - begin;
    const parts = [list.matching ? `${list.count.toLocaleString()} of ${total.toLocaleString()} frames` : `${total.toLocaleString()} frames`];
    if (list.paused) parts.push(`paused, ${list.waiting.toLocaleString()} new`);
    if (store.skipped) parts.push(`${store.skipped.toLocaleString()} not shown`);
    status.textContent = parts.join(" · ");
    newest.hidden = list.following;
    empty.hidden = list.count > 0;
    empty.textContent = list.matching && total ? "No frame matches." : "No frames yet: connect a client.";
    Object.assign(root.dataset, { rows: String(list.count), waiting: String(list.waiting), newest: String(store.newest), skipped: String(store.skipped) });
    root.classList.toggle("wslab-frames-is-paused", list.paused);
  }

  const redraw = oncePerFrame(draw);
  const list = new FrameList(store, { redraw, select, pause: () => setPaused(!list.paused) });
  const empty = element("div", { class: "wslab-empty wslab-frames-empty" });
  detail.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape") {
      list.follow();
      list.viewport.focus();
    }
  });
  root.append(
    element("div", { class: "wslab-bar" }, element("h3", {}, "Frames"), pause, newest, search, connection, direction, opcode, element("span", { class: "wslab-grow" }), status),
    element("div", { class: "wslab-frames-window" }, list.viewport, empty),
    detail,
  );
  const resized = new ResizeObserver(redraw);
  resized.observe(list.viewport);
  return { draw, dispose: () => resized.disconnect() };
}

export default liveView(create, receive, render);
