/** A display filter: asked of the kernel, which says which frames pass, a range at a time. */
import { FrameStore, SLOTS } from "./frames_store.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {{text: string, position: number, message: string}} Mistake position in UTF-16 units, -1 for none */

/**
 * The kernel counts characters as Python does, a page in UTF-16 units.
 * @param {string} text
 * @param {number} characters
 */
export function unitsOf(text, characters) {
  let units = 0;
  for (let left = characters; left > 0 && units < text.length; left--) {
    units += /** @type {number} */ (text.codePointAt(units)) > 0xffff ? 2 : 1;
  }
  return units;
}

/** One rendering's filter, and what passed it among the frames of the store. */
export class DisplayFilter {
  /**
   * @param {FrameStore} store
   * @param {(content: Content) => void} send
   */
  constructor(store, send) {
    this.store = store;
    this.send = send;
    this.id = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER); // other pages' are not known here
    this.count = 0;
    this.asked = { n: 0, text: "" };
    this.applied = { n: 0, text: "" };
    this.generation = -1;
    /** @type {Mistake | null} */
    this.mistake = null;
    /** @type {Uint8Array | null} of each slot, whether its frame passes; right for indexes below `known` */
    this.marks = null;
    this.known = 0;
    this.first = this.next = 0; // numbers: where the kernel began, and how far it is
    this.missed = 0;
    /** @type {number[]} indexes below `known` that pass after all: their messages have ended */
    this.late = [];
  }

  /** Whether a filter is in force. */
  get active() {
    return this.applied.text !== "";
  }

  /** Whether the kernel has not answered yet. */
  get waiting() {
    return this.asked.n !== this.applied.n && !this.mistake;
  }

  /** @param {string} text "" ends the filter; a wrong one leaves the one before in force */
  apply(text) {
    const wanted = text.trim() ? text : "";
    this.mistake = null;
    this.asked = { n: ++this.count, text: wanted };
    if (wanted) this.ask(0);
    else this.end();
  }

  /** @param {number} from number of the first frame to look at */
  ask(from) {
    this.send({ t: "filter", id: this.id, ...this.asked, from });
  }

  /** Ends it, here and in the kernel. */
  end() {
    this.applied = this.asked = { n: ++this.count, text: "" };
    this.mistake = this.marks = null;
    this.ask(0);
  }

  /**
   * Takes what the kernel says.
   * @param {Content} content its `matches` have their numbers beside them: see `receive` in frames.js
   * @returns {boolean} whether the list must be matched anew
   */
  take(content) {
    if (content.t === "filter") return content.id === this.id && this.answered(content);
    if (content.t !== "frames" || !this.applied.text) return false;
    for (const match of content.matches ?? []) {
      if (match.id === this.id && match.n === this.applied.n) this.mark(match);
    }
    if (content.g !== this.generation && !this.waiting) {
      // a page appeared, and all filters ended: go on where this one was
      this.generation = content.g;
      this.asked = this.applied;
      this.ask(this.next);
    }
    return false;
  }

  /** @param {Content} answer */
  answered({ n, g, first, error }) {
    if (n !== this.asked.n) return false;
    if (error) {
      const { text } = this.asked;
      this.mistake = { text, position: error.position < 0 ? -1 : unitsOf(text, error.position), message: error.message };
      if (error.position >= 0) return false;
      this.applied = { n, text: "" }; // it was ended there
      this.marks = null;
      return true;
    }
    this.generation = g;
    if (n === this.applied.n) return false; // it goes on
    this.applied = this.asked;
    this.marks = new Uint8Array(SLOTS);
    this.known = this.store.oldestSlot;
    this.first = this.next = first;
    this.missed = 0;
    this.late = [];
    return true;
  }

  /**
   * @param {Content & {numbers: Uint32Array}} range frames `first` to `next`: `numbers` pass, counted from `first`,
   *   but for the `late` last ones, which come from earlier ranges and are counted from `base`
   */
  mark({ first, next, missed, numbers, late = 0, base = 0 }) {
    const { store, marks } = this;
    if (!marks || next < this.next) return;
    const end = store.indexOf(next);
    for (let index = Math.max(this.known, store.oldestSlot); index < end; index++) marks[store.slot(index)] = 0;
    let index = Math.max(store.indexOf(first), this.known);
    for (const number of numbers.subarray(0, numbers.length - late)) {
      const seq = first + number;
      while (index < end && store.sequence[store.slot(index)] < seq) index++;
      if (index < end && store.sequence[store.slot(index)] === seq) marks[store.slot(index)] = 1;
    }
    this.known = Math.max(this.known, end);
    this.next = next;
    this.missed = missed;
    for (const number of numbers.subarray(numbers.length - late)) {
      const place = store.indexOf(base + number);
      if (place >= this.known || store.sequence[store.slot(place)] !== base + number) continue;
      marks[store.slot(place)] = 1;
      this.late.push(place);
    }
  }

  /** @returns {number[]} what is new of `late` */
  takeLate() {
    return this.late.splice(0);
  }

  /** @param {number} begin @returns {number} frames from that index on that the kernel no longer had */
  unsearched(begin) {
    return this.active ? Math.max(0, this.store.indexOf(this.first) - begin) + this.missed : 0;
  }

  /** @param {number} index below `known` @returns {boolean} */
  passes(index) {
    return this.marks?.[this.store.slot(index)] === 1;
  }
}
