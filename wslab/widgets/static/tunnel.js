/**
 * A WebSocket through the widget's own comm: the browser's face, the kernel's engine.
 * The kernel's half, with the protocol between the two, is wslab/widgets/tunnel.py.
 */
import { bytesOf } from "./common.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./common.js").Model} Model */
/** @typedef {{data: string | ArrayBuffer | null, size: number, weight: number, close?: {code: number | null, reason: string}}} Outgoing data null: a Blob that is still read */
/** @typedef {((this: TunnelSocket, event: any) => any) | null} Handler */

/** Bytes on their way without an acknowledgement, at most; then they wait here. */
const TUNNEL_WINDOW = 2 ** 18;
/** An acknowledgement is due after so many batches, or bytes. */
const TUNNEL_ACK_EVERY = 16;
const TUNNEL_ACK_BYTES = 2 ** 16;
/** What a message counts beside its length. */
const TUNNEL_EACH = 64;
/** Jupyter's server takes messages of 10 MiB at most, and closes its own socket at larger ones. */
const TUNNEL_LARGEST = 8 * 2 ** 20;

/** @param {string} text @returns {string} with U+FFFD for what UTF-8 cannot carry, as a WebSocket's */
function wellFormed(text) {
  return /[\ud800-\udfff]/.test(text) ? new TextDecoder().decode(new TextEncoder().encode(text)) : text;
}

/** @param {string} text */
const utf8Length = (text) => new TextEncoder().encode(text).length;

/**
 * Has the face of the browser's WebSocket. Beside it:
 * `refusal` says how the handshake was answered where it was refused, which a browser tells no page.
 */
export class TunnelSocket extends EventTarget {
  static CONNECTING = 0;
  static OPEN = 1;
  static CLOSING = 2;
  static CLOSED = 3;
  CONNECTING = 0;
  OPEN = 1;
  CLOSING = 2;
  CLOSED = 3;
  readyState = 0;
  protocol = "";
  extensions = "";
  bufferedAmount = 0;
  /** @type {BinaryType} */
  binaryType = "blob";
  /** @type {{status: number, reason: string} | null} */
  refusal = null;
  /** @type {Map<string, Handler>} */
  #handlers = new Map();
  /** @type {Outgoing[]} */
  #queue = [];
  #sent = 0;
  /** @type {number[]} weights of the messages that are not acknowledged */
  #underway = [];
  #inFlight = 0;
  #confirmed = 0;
  #batches = 0;
  #unsaid = 0;
  #told = 0;
  #closeSent = false;
  #id = Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
  #model;

  /**
   * @param {Model} model the widget's
   * @param {string} path with its query, such as "/echo?x=1"
   * @param {string | string[]} [protocols] offered, most wanted first
   */
  constructor(model, path, protocols = []) {
    super();
    const url = new URL(path, "ws://tunnel");
    const offered = typeof protocols === "string" ? [protocols] : [...protocols];
    if (url.hash || path.endsWith("#")) throw new DOMException("A WebSocket URL has no fragment.", "SyntaxError");
    if (new Set(offered).size !== offered.length || offered.some((name) => !/^[!#$%&'*+.^`|~\w-]+$/.test(name))) {
      throw new DOMException("Expected different tokens as subprotocols.", "SyntaxError");
    }
    this.url = `tunnel:${url.pathname}${url.search}`;
    this.#model = model;
    model.on("msg:custom", this.#received);
    for (const event of ["comm:close", "comm_live_update", "destroy"]) model.on(event, this.#interrupted);
    globalThis.addEventListener?.("pagehide", this.#leaving);
    this.#tell({ op: "open", path: url.pathname + url.search, protocols: offered });
  }

  get onopen() { return this.#handlers.get("open") ?? null; }
  set onopen(handler) { this.#handle("open", handler); }
  get onmessage() { return this.#handlers.get("message") ?? null; }
  set onmessage(handler) { this.#handle("message", handler); }
  get onerror() { return this.#handlers.get("error") ?? null; }
  set onerror(handler) { this.#handle("error", handler); }
  get onclose() { return this.#handlers.get("close") ?? null; }
  set onclose(handler) { this.#handle("close", handler); }

  /** @param {string} type @param {Handler} handler */
  #handle(type, handler) {
    const before = this.#handlers.get(type);
    if (before) this.removeEventListener(type, before);
    this.#handlers.set(type, handler);
    if (handler) this.addEventListener(type, handler);
  }

  /** @param {string | ArrayBuffer | ArrayBufferView | Blob} data */
  send(data) {
    if (this.readyState === 0) throw new DOMException("Still in CONNECTING state.", "InvalidStateError");
    /** @type {Outgoing} */
    const entry = { data: null, size: 0, weight: 0 };
    if (data instanceof Blob) {
      entry.size = data.size;
    } else if (data instanceof ArrayBuffer) {
      entry.data = data.slice(0);
      entry.size = data.byteLength;
    } else if (ArrayBuffer.isView(data)) {
      entry.data = /** @type {ArrayBuffer} */ (data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength));
      entry.size = data.byteLength;
    } else {
      entry.data = wellFormed(String(data));
      entry.size = utf8Length(entry.data);
    }
    entry.weight = (typeof entry.data === "string" ? entry.data.length : entry.size) + TUNNEL_EACH;
    this.bufferedAmount += entry.size;
    if (this.readyState !== 1) return; // as a browser: counted, and dropped
    if (entry.size > TUNNEL_LARGEST) {
      this.#tell({ op: "abort" });
      this.#end(1009, `A tunnel carries messages of at most ${TUNNEL_LARGEST} bytes.`);
      return;
    }
    this.#queue.push(entry);
    if (data instanceof Blob) {
      data.arrayBuffer().then((bytes) => {
        entry.data = bytes;
        this.#flush();
      }, () => this.#cut());
    }
    this.#flush();
  }

  /** @param {number} [code] 1000 or 3000–4999 @param {string} [reason] at most 123 bytes of UTF-8 */
  close(code, reason = "") {
    if (code !== undefined && code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`The close code must be either 1000, or between 3000 and 4999. ${code} is neither.`, "InvalidAccessError");
    }
    const words = wellFormed(reason);
    if (utf8Length(words) > 123) throw new DOMException("The close reason must not be greater than 123 UTF-8 bytes.", "SyntaxError");
    if (this.readyState >= 2) return;
    const opened = this.readyState === 1;
    this.readyState = 2;
    if (!opened) {
      this.#tell({ op: "abort" });
      queueMicrotask(() => this.#end(1006, ""));
      return;
    }
    this.#queue.push({ data: "", size: 0, weight: 0, close: { code: code ?? (words ? 1000 : null), reason: words } });
    this.#flush();
  }

  /** @param {object} message @param {ArrayBuffer[]} [buffers] */
  #tell(message, buffers = []) {
    this.#model.send({ ...message, t: "tunnel", id: this.#id }, {}, buffers);
  }

  /** Sends what may be sent. */
  #flush() {
    while (this.#queue.length && this.#inFlight < TUNNEL_WINDOW && this.readyState < 3) {
      const { data, size, weight, close } = this.#queue[0];
      if (data === null) return;
      this.#queue.shift();
      if (close) {
        this.#closeSent = true;
        this.#tell({ op: "close", ...close });
        return;
      }
      this.#sent += 1;
      this.#underway.push(weight);
      this.#inFlight += weight;
      this.bufferedAmount -= size;
      if (typeof data === "string") this.#tell({ op: "send", n: this.#sent, text: data });
      else this.#tell({ op: "send", n: this.#sent }, [data]);
    }
  }

  /** @param {Content} content @param {(DataView | ArrayBuffer)[]} buffers */
  #received = (content, buffers) => {
    if (content?.t !== "tunnel" || content.id !== this.#id || this.readyState === 3) return;
    if (content.op === "data") {
      this.#data(content, buffers ?? []);
    } else if (content.op === "got") {
      while (this.#confirmed < content.n && this.#underway.length) {
        this.#inFlight -= this.#underway.shift() ?? 0;
        this.#confirmed += 1;
      }
      this.#flush();
    } else if (content.op === "beat") {
      this.#tell({ op: "beat" });
    } else if (content.op === "open" && this.readyState === 0) {
      this.readyState = 1;
      this.protocol = String(content.protocol ?? "");
      this.dispatchEvent(new Event("open"));
    } else if (content.op === "refused") {
      this.refusal = { status: Number(content.status), reason: String(content.reason) };
      this.#end(1006, "");
    } else if (content.op === "close") {
      const whole = content.n === null || content.n === this.#batches;
      this.#end(whole ? Number(content.code) : 1006, whole ? String(content.reason) : "");
    }
  };

  /** @param {Content} content @param {(DataView | ArrayBuffer)[]} buffers */
  #data(content, buffers) {
    if (content.n !== this.#batches + 1) {
      this.#cut(); // Jupyter has dropped a message: nothing after it may pass for the whole
      return;
    }
    this.#batches += 1;
    let next = 0;
    /** @type {(string | Uint8Array)[]} */
    const messages = content.messages.map((/** @type {string | null} */ text) => text ?? bytesOf(buffers[next++]));
    for (const message of messages) this.#unsaid += message.length + TUNNEL_EACH;
    if (this.#batches - this.#told >= TUNNEL_ACK_EVERY || this.#unsaid >= TUNNEL_ACK_BYTES) {
      this.#tell({ op: "got", n: this.#batches });
      this.#told = this.#batches;
      this.#unsaid = 0;
    }
    for (const message of messages) {
      if (this.readyState !== 1) return; // as a browser: after close() nothing is delivered
      const bytes = /** @type {ArrayBuffer} */ (typeof message === "string" ? null : message.buffer);
      const data = typeof message === "string" ? message : this.binaryType === "blob" ? new Blob([bytes]) : bytes;
      this.dispatchEvent(new MessageEvent("message", { data, origin: "tunnel:" }));
    }
  }

  /** The kernel was restarted, or the comm closed. */
  #interrupted = () => this.#end(1006, "");

  #leaving = () => {
    if (this.readyState === 1 && !this.#closeSent) this.#tell({ op: "close", code: 1001, reason: "" });
  };

  #cut() {
    this.#tell({ op: "abort" });
    this.#end(1006, "");
  }

  /** @param {number} code @param {string} reason */
  #end(code, reason) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#queue = [];
    this.#model.off("msg:custom", this.#received);
    for (const event of ["comm:close", "comm_live_update", "destroy"]) this.#model.off(event, this.#interrupted);
    globalThis.removeEventListener?.("pagehide", this.#leaving);
    if (code === 1006 || code === 1009) this.dispatchEvent(new Event("error"));
    this.dispatchEvent(new CloseEvent("close", { code, reason, wasClean: code !== 1006 }));
  }
}
