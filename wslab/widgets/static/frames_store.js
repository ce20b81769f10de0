/** The page's copy of the list of frames: typed arrays in a ring, text decoded when it is looked at. */
import { visible } from "./common.js";

/** Frames kept in the page; the oldest go first. */
export const CAPACITY = 100_000;
export const SLOTS = 1 << 17; // a power of two above CAPACITY: what a paused list shows stays a while longer
const RECORD_SIZE = 24;

/** Bits of a record's flags. */
export const SENT = 1;
export const PROBLEM = 4;
export const CUT = 8;
export const INCOMPLETE = 16;
const SHARED = 32;

/** @typedef {{text: string, direction: string, opcode: string, connection: number}} Filter "" and 0 let all pass */

/** @type {Filter} */
export const NO_FILTER = { text: "", direction: "", opcode: "", connection: 0 };

/** @param {Uint8Array} bytes */
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

/**
 * Frames by an index that only grows: `begin` to `end` (exclusive) are kept. The index is the page's
 * own; `sequence` has the recorder's number, which has gaps where frames were skipped.
 */
export class FrameStore {
  constructor() {
    this.sequence = new Float64Array(SLOTS);
    this.time = new Float64Array(SLOTS);
    this.length = new Float64Array(SLOTS);
    this.connection = new Uint32Array(SLOTS);
    /** @type {(Uint32Array | undefined)[]} connections' numbers of frames that went to several at once */
    this.owners = new Array(SLOTS);
    this.flags = new Uint8Array(SLOTS);
    this.first = new Uint8Array(SLOTS);
    /** @type {(Uint8Array | string)[]} bytes until somebody looks, then text */
    this.previews = new Array(SLOTS);
    this.begin = 0;
    this.end = 0;
    this.skipped = 0;
    this.newest = -1;
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // a BOM is part of what was sent
  }

  /** @param {number} index */
  slot(index) {
    return index & (SLOTS - 1);
  }

  /** The lowest index whose slot has not been written over. */
  get oldestSlot() {
    return Math.max(0, this.end - SLOTS);
  }

  /** @param {number} seq @returns {number} the index of that frame, or of the first one after it */
  indexOf(seq) {
    let low = this.oldestSlot;
    let high = this.end;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.sequence[this.slot(middle)] < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Takes a batch. Frames that are here already (another page's replay) are passed over.
   * @param {number} first number of the batch's first frame
   * @param {Uint8Array} table
   * @param {Uint8Array} previews
   * @param {Uint8Array} [owners] lists of connections: how many, then their numbers
   */
  add(first, table, previews, owners = new Uint8Array()) {
    const lists = new Uint32Array(owners.buffer, owners.byteOffset, owners.byteLength >> 2);
    /** @type {Map<number, Uint32Array>} by their place: frames share them */
    const shared = new Map();
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const count = Math.floor(table.byteLength / RECORD_SIZE);
    for (let i = 0, at = 0; i < count; i++) {
      const offset = i * RECORD_SIZE;
      const size = view.getUint16(offset + 20, true);
      const preview = previews.subarray(at, at + size);
      at += size;
      if (first + i <= this.newest) continue;
      const slot = this.slot(this.end++);
      this.newest = this.sequence[slot] = first + i;
      this.time[slot] = view.getFloat64(offset, true);
      this.length[slot] = view.getFloat64(offset + 8, true);
      const whose = view.getUint32(offset + 16, true);
      const flags = (this.flags[slot] = view.getUint8(offset + 22));
      if (flags & SHARED && !shared.has(whose)) shared.set(whose, lists.subarray(whose + 1, whose + 1 + lists[whose]));
      this.owners[slot] = flags & SHARED ? shared.get(whose) : undefined;
      this.connection[slot] = this.owners[slot]?.[0] ?? whose;
      this.first[slot] = view.getUint8(offset + 23);
      this.previews[slot] = preview;
    }
    this.begin = Math.max(this.begin, this.end - CAPACITY);
  }

  /** Forgets all frames; a paused list still shows its own. */
  clear() {
    this.begin = this.end;
  }

  /** @param {number} index */
  opcode(index) {
    const slot = this.slot(index);
    return this.flags[slot] & INCOMPLETE ? -1 : this.first[slot] & 15;
  }

  /**
   * The preview as one line: text of text frames, code and reason of close frames, else hex.
   * @param {number} index
   * @returns {string}
   */
  text(index) {
    const slot = this.slot(index);
    const kept = this.previews[slot];
    if (typeof kept === "string") return kept;
    const bytes = kept ?? new Uint8Array();
    const opcode = this.opcode(index);
    const compressed = this.first[slot] & 0x40;
    let text = "";
    if (!compressed && opcode === 1) text = this.decoder.decode(bytes);
    else if (opcode === 8 && bytes.length >= 2) text = `${(bytes[0] << 8) | bytes[1]} ${this.decoder.decode(bytes.subarray(2))}`;
    else text = hex(bytes.subarray(0, 64));
    if (bytes.length < this.length[slot]) text += "…";
    return (this.previews[slot] = visible(text));
  }

  /** @param {number} slot @param {number} connection */
  belongsTo(slot, connection) {
    return this.owners[slot]?.includes(connection) ?? this.connection[slot] === connection;
  }

  /**
   * @param {number} index
   * @param {Filter} filter
   */
  matches(index, filter) {
    const slot = this.slot(index);
    if (filter.direction && (this.flags[slot] & SENT ? "out" : "in") !== filter.direction) return false;
    if (filter.opcode && this.opcode(index) !== Number(filter.opcode)) return false;
    if (filter.connection && !this.belongsTo(slot, filter.connection)) return false;
    return !filter.text || this.text(index).toLowerCase().includes(filter.text);
  }
}
