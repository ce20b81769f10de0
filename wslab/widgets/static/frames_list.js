/** A virtual list: as many rows in the document as fit the window, over any number of frames. */
import { element, clock, opcodeName } from "./common.js";
import { DisplayFilter } from "./frames_filter.js";
import { FrameStore, NO_FILTER, SENT, PROBLEM, CUT } from "./frames_store.js";

/** @typedef {import("./frames_store.js").Filter} Filter */
/** @typedef {{element: HTMLElement, cells: HTMLElement[], index: number, selected: boolean}} Row */

const ROW = 22; // pixels; frames.css has the same
const SCAN = 2000; // frames matched between two looks at the clock
const SCAN_TIME = 8; // milliseconds of matching in one animation frame

const COLUMNS = ["#", "time", "conn", "way", "opcode", "length", "payload"];

let listCount = 0;

/** One rendering's list: its own filter, pause and selection over the shared store. */
export class FrameList {
  /**
   * @param {FrameStore} store
   * @param {DisplayFilter} display what passes beside the quick filters
   * @param {{redraw: () => void, select: (index: number) => void, pause: () => void}} on
   */
  constructor(store, display, on) {
    this.store = store;
    this.display = display;
    this.on = on;
    this.id = `wslab-frames-${++listCount}`;
    this.following = true;
    this.selected = -1;
    this.paused = false;
    this.pausedBegin = this.pausedEnd = 0;
    /** @type {Filter} */
    this.filter = NO_FILTER;
    /** @type {number[] | null} indexes that match, null where all do */
    this.matching = null;
    this.scanned = 0;
    this.gone = 0; // rows that left a filtered list at its top since it was drawn
    this.drawnBegin = 0;
    /** @type {Row[]} */
    this.rows = [];
    this.body = element("div", { class: "wslab-frames-rows", role: "rowgroup" });
    const head = element("div", { class: "wslab-frames-row wslab-frames-head", role: "row", "aria-rowindex": 1 });
    for (const name of COLUMNS) head.append(element("span", { role: "columnheader" }, name));
    this.viewport = element(
      "div",
      {
        class: "wslab-frames-list",
        role: "grid",
        tabindex: 0,
        "aria-label": "Frames. Arrow keys select, Space pauses, Escape follows the newest",
        "aria-colcount": COLUMNS.length,
        onscroll: () => this.onScroll(),
        onkeydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event),
        onclick: (/** @type {MouseEvent} */ event) => this.onClick(event),
      },
      element("div", { role: "rowgroup", class: "wslab-frames-sticky" }, head),
      this.body,
    );
  }

  /** Indexes shown: the store's, or those of the moment of the pause. */
  get range() {
    if (!this.paused) return { begin: this.store.begin, end: this.store.end };
    return { begin: Math.max(this.pausedBegin, this.store.oldestSlot), end: this.pausedEnd };
  }

  /** Rows in the list, after the filter. */
  get count() {
    const { begin, end } = this.range;
    return this.matching ? this.matching.length : end - begin;
  }

  /** The index up to which frames can be matched: the kernel may not have told of later ones yet. */
  get known() {
    const { end } = this.range;
    return this.display.active ? Math.min(end, this.display.known) : end;
  }

  /** Whether frames are still to be matched. */
  get filtering() {
    return this.matching !== null && this.scanned < this.range.end;
  }

  /** Frames that came since the pause. */
  get waiting() {
    return this.paused ? this.store.end - this.pausedEnd : 0;
  }

  /** @param {number} position @returns {number} the index at a row's place */
  indexAt(position) {
    return this.matching ? this.matching[position] : this.range.begin + position;
  }

  /** @param {number} index @returns {number} its row's place, or the place before which it would be */
  positionOf(index) {
    const matching = this.matching;
    if (!matching) return index - this.range.begin;
    let low = 0;
    let high = matching.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (matching[middle] < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whole rows that the viewport shows. */
  get page() {
    return Math.max(1, Math.floor(this.viewport.clientHeight / ROW) - 1);
  }

  /** @param {Filter} filter */
  setFilter(filter) {
    this.filter = filter;
    const all = !filter.text && !filter.direction && !filter.opcode && !filter.connection;
    this.matching = all && !this.display.active ? null : [];
    this.scanned = this.gone = 0;
    this.on.redraw();
  }

  /** @param {boolean} paused */
  setPaused(paused) {
    this.pausedBegin = this.store.begin;
    this.pausedEnd = this.store.end;
    this.paused = paused;
    if (!paused && this.selected < 0) this.following = true;
    this.setFilter(this.filter);
  }

  /** Shows the newest frame and those that come after it. */
  follow() {
    this.select(-1);
    this.following = true;
    this.on.redraw();
  }

  /** @param {number} index -1 for none */
  select(index) {
    this.selected = index;
    if (index >= 0) this.following = false;
    this.on.select(index);
    this.on.redraw();
  }

  /** @param {number} position */
  moveTo(position) {
    if (!this.count) return;
    const wanted = Math.min(Math.max(position, 0), this.count - 1);
    this.select(this.indexAt(wanted));
    const top = wanted * ROW;
    const viewport = this.viewport;
    const visibleHeight = viewport.clientHeight - ROW; // the head covers one row
    if (top < viewport.scrollTop) viewport.scrollTop = top;
    else if (top + ROW > viewport.scrollTop + visibleHeight) viewport.scrollTop = top + ROW - visibleHeight;
  }

  onScroll() {
    const { scrollTop, clientHeight, scrollHeight } = this.viewport;
    this.following = this.selected < 0 && scrollTop + clientHeight >= scrollHeight - ROW;
    this.on.redraw();
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {Element} */ (event.target);
    const row = this.rows.find((candidate) => candidate.element.contains(target));
    if (row) this.select(row.index);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const bottom = Math.floor(this.viewport.scrollTop / ROW) + this.page;
    const here = this.selected < 0 ? Math.min(bottom, this.count) : this.positionOf(this.selected);
    /** @type {{[key: string]: () => void}} */
    const actions = {
      ArrowDown: () => this.moveTo(here + 1),
      ArrowUp: () => this.moveTo(here - 1),
      PageDown: () => this.moveTo(here + this.page),
      PageUp: () => this.moveTo(here - this.page),
      Home: () => this.moveTo(0),
      End: () => this.moveTo(this.count - 1),
      Escape: () => this.follow(),
      " ": () => this.on.pause(),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** Goes on matching where it stopped; gives the page its turn after some milliseconds. */
  scan() {
    const matching = this.matching;
    if (!matching) return;
    const { begin } = this.range;
    const end = this.known;
    let gone = 0;
    while (gone < matching.length && matching[gone] < begin) gone++;
    if (gone) matching.splice(0, gone);
    this.gone += gone;
    this.scanned = Math.max(this.scanned, begin);
    for (const index of this.display.takeLate()) this.addLate(index, matching, begin);
    const until = performance.now() + SCAN_TIME;
    while (this.scanned < end && performance.now() < until) {
      const stop = Math.min(end, this.scanned + SCAN);
      for (; this.scanned < stop; this.scanned++) {
        const passes = !this.display.active || this.display.passes(this.scanned);
        if (passes && this.store.matches(this.scanned, this.filter)) matching.push(this.scanned);
      }
    }
    if (this.scanned < end) this.on.redraw();
  }

  /** @param {number} index of a frame that passes after all @param {number[]} matching @param {number} begin */
  addLate(index, matching, begin) {
    if (index < begin || index >= this.scanned || !this.store.matches(index, this.filter)) return;
    const position = this.positionOf(index);
    if (matching[position] !== index) matching.splice(position, 0, index);
  }

  draw() {
    const before = this.count;
    this.scan();
    const { begin } = this.range;
    const count = this.count;
    const viewport = this.viewport;
    this.body.style.height = `${count * ROW}px`;
    if (this.following) viewport.scrollTop = count * ROW;
    else {
      // rows left at the top: what somebody reads stays where it is
      const left = this.matching ? this.gone : before ? begin - this.drawnBegin : 0;
      if (left > 0) viewport.scrollTop -= left * ROW;
    }
    this.gone = 0;
    this.drawnBegin = begin;
    viewport.setAttribute("aria-rowcount", String(count + 1));
    const first = Math.max(0, Math.floor(viewport.scrollTop / ROW) - 2);
    const shown = Math.min(count - first, Math.ceil(viewport.clientHeight / ROW) + 4);
    while (this.rows.length < shown) this.addRow();
    this.rows.forEach((row, place) => {
      row.element.hidden = place >= shown;
      if (place < shown) this.fill(row, first + place);
      else row.index = -1;
    });
    const active = this.rows.find((row) => row.index >= 0 && row.index === this.selected);
    if (active) viewport.setAttribute("aria-activedescendant", active.element.id);
    else viewport.removeAttribute("aria-activedescendant");
  }

  addRow() {
    const cells = COLUMNS.map(() => element("span", { role: "gridcell" }));
    const row = element("div", { class: "wslab-frames-row", role: "row", id: `${this.id}-${this.rows.length}` }, ...cells);
    this.rows.push({ element: row, cells, index: -1, selected: false });
    this.body.append(row);
  }

  /** @param {Row} row @param {number} position */
  fill(row, position) {
    const index = this.indexAt(position);
    const selected = index === this.selected;
    row.element.style.top = `${position * ROW}px`;
    row.element.setAttribute("aria-rowindex", String(position + 2));
    if (row.index === index && row.selected === selected) return;
    row.index = index;
    row.selected = selected;
    const store = this.store;
    const slot = store.slot(index);
    const opcode = store.opcode(index);
    const owners = store.owners[slot]?.length ?? 1;
    const flags = store.flags[slot];
    const sent = Boolean(flags & SENT);
    const problem = Boolean(flags & PROBLEM) || opcode < 0;
    row.element.className = [
      "wslab-frames-row",
      sent ? "wslab-frames-out" : "wslab-frames-in",
      opcode >= 8 ? "wslab-frames-control" : "",
      problem ? "wslab-frames-problem" : "",
    ].join(" ");
    row.element.setAttribute("aria-selected", String(selected));
    row.element.dataset.seq = String(store.sequence[slot]);
    /** @type {[boolean, string, string][]} */
    const marks = [
      [problem, " ✗", "✗ breaks a rule"],
      [opcode >= 0 && !(store.first[slot] & 0x80), " …", "… its message goes on"],
      [opcode >= 0 && Boolean(store.first[slot] & 0x40), " z", "z compressed"],
      [Boolean(flags & CUT), " ✂", "✂ not kept whole"],
    ];
    const marked = marks.filter(([applies]) => applies);
    const meanings = marked.map(([, , meaning]) => meaning);
    if (owners > 1) meanings.push(`sent to ${owners} connections at once`);
    row.element.title = meanings.join(", ");
    const values = [
      String(store.sequence[slot]),
      clock(store.time[slot]),
      `c${store.connection[slot]}` + (owners > 1 ? ` +${owners - 1}` : ""),
      sent ? "← out" : "→ in",
      (opcode < 0 ? "INCOMPLETE" : opcodeName(opcode)) + marked.map(([, sign]) => sign).join(""),
      String(store.length[slot]),
      store.text(index),
    ];
    row.cells.forEach((cell, column) => (cell.textContent = values[column]));
  }
}
