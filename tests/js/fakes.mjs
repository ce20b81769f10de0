/** What the modules expect of a page, for Node. */

globalThis.CloseEvent ??= class CloseEvent extends Event {
  constructor(type, { code = 0, reason = "", wasClean = false } = {}) {
    super(type);
    Object.assign(this, { code, reason, wasClean });
  }
};

/** A widget's model: what it sends is kept, what the kernel would send is handed in. */
export class FakeModel {
  sent = [];
  #listeners = [];
  send(content, callbacks, buffers = []) {
    this.sent.push({ ...content, buffers });
  }
  on(name, callback) {
    this.#listeners.push([name, callback]);
  }
  off(name, callback) {
    this.#listeners = this.#listeners.filter(([n, c]) => n !== name || c !== callback);
  }
  get listeners() {
    return this.#listeners.length;
  }
  trigger(name, ...given) {
    for (const [listened, callback] of [...this.#listeners]) if (listened === name) callback(...given);
  }
  /** A message of the kernel's half, for the tunnel that was opened last. */
  kernel(message, buffers = []) {
    const id = this.sent.findLast(({ op }) => op === "open").id;
    this.trigger("msg:custom", { t: "tunnel", id, ...message }, buffers);
  }
  /** What was sent, without what all of it has. */
  ops(op) {
    return this.sent.filter((message) => !op || message.op === op).map(({ t, id, buffers, ...rest }) => rest);
  }
}
