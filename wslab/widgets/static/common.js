/** What every view shares: elements, formats, themes, and the acknowledged stream from the kernel. */

/**
 * @typedef {{get(name: string): any, set(name: string, value: any): void, save_changes(): void,
 *   send(content: object, callbacks?: object, buffers?: ArrayBuffer[]): void,
 *   on(event: string, callback: (...args: any[]) => void): void,
 *   off(event: string, callback: (...args: any[]) => void): void}} Model
 */
/** @typedef {{[key: string]: any}} Content */

/**
 * Makes an element. Text is only ever set as text: what comes from the network stays text.
 * @param {string} tag
 * @param {{[name: string]: any}} [attributes] `onclick` and the like add listeners; true, false and null as in HTML
 * @param {...(Node | string)} children
 * @returns {any} the element
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, String(value));
  }
  made.append(...children);
  return made;
}

/** @param {string} label @param {string} title @param {(event: Event) => void} action @param {{[name: string]: any}} [more] */
export function button(label, title, action, more = {}) {
  return element("button", { type: "button", title, "aria-label": title, onclick: action, ...more }, label);
}

/** @param {Element} node @param {string} name a CSS variable */
export const cssVariable = (node, name) => getComputedStyle(node).getPropertyValue(name).trim();

/** @type {{[opcode: number]: string}} names of RFC 6455 section 5.2 */
export const OPCODES = { 0: "CONT", 1: "TEXT", 2: "BINARY", 8: "CLOSE", 9: "PING", 10: "PONG" };

/** @param {number} opcode */
export const opcodeName = (opcode) => OPCODES[opcode] ?? `RSV 0x${opcode.toString(16)}`;

/** @param {number} seconds since the epoch @returns {string} local hh:mm:ss.mmm */
export function clock(seconds) {
  const date = new Date(seconds * 1000);
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** @param {number} bytes @returns {string} */
export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/**
 * Controls and bidirectional overrides as visible signs: a page must not obey what a peer sent.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (char) => {
    const code = char.charCodeAt(0);
    return code < 32 ? String.fromCharCode(0x2400 + code) : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/**
 * Runs `draw` at most once an animation frame; by a timer while the tab is hidden.
 * @param {() => void} draw
 * @returns {() => void}
 */
export function oncePerFrame(draw) {
  let queued = false;
  const run = () => {
    if (!queued) return;
    queued = false;
    draw();
  };
  return () => {
    if (queued) return;
    queued = true;
    if (document.hidden) setTimeout(run, 250);
    else requestAnimationFrame(run);
  };
}

/**
 * Calls `changed` when JupyterLab, VS Code or the system changes between light and dark.
 * @param {() => void} changed
 * @returns {() => void} ends it
 */
export function onTheme(changed) {
  const observer = new MutationObserver(changed);
  const attributeFilter = ["data-jp-theme-name", "data-jp-theme-light", "data-vscode-theme-kind", "class", "theme"];
  for (const node of [document.body, document.documentElement]) observer.observe(node, { attributes: true, attributeFilter });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", changed);
  };
}

/**
 * Copies a buffer of the kernel's into one of our own, aligned for typed arrays.
 * @param {DataView | ArrayBuffer} buffer
 * @returns {Uint8Array}
 */
export function bytesOf(buffer) {
  if (buffer instanceof ArrayBuffer) return new Uint8Array(buffer.slice(0));
  return new Uint8Array(buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength));
}

/**
 * A view's default export: the stream of one model, shared by all of its renderings in this page.
 *
 * anywidget hands `initialize` and `render` different model objects, so the state lives in this
 * closure. Each message is acknowledged as it is received, before anything is drawn.
 *
 * @template S
 * @param {(model: Model) => S} create the state shared by all renderings of a model
 * @param {(state: S, content: Content, buffers: Uint8Array[], model: Model) => void} receive takes one message into the state
 * @param {(state: S, model: Model, root: HTMLElement) => {draw: () => void, message?: (content: Content) => void, dispose?: () => void}} render
 *   builds one rendering inside `root`; `draw` is called (once a frame) after messages
 */
export function liveView(create, receive, render) {
  return () => {
    /** @type {S} */
    let state;
    /** @type {Set<{draw: () => void, message?: (content: Content) => void}>} */
    const renderings = new Set();
    return {
      /** @param {{model: Model}} context */
      initialize({ model }) {
        state = create(model);
        /** @param {Content} content @param {(DataView | ArrayBuffer)[]} buffers */
        const onMessage = (content, buffers) => {
          if (typeof content?.s !== "number") return;
          model.send({ t: "ack", s: content.s });
          receive(state, content, (buffers ?? []).map(bytesOf), model);
          for (const rendering of renderings) {
            rendering.message?.(content);
            rendering.draw();
          }
        };
        model.on("msg:custom", onMessage);
        model.send({ t: "hello" });
        return () => model.off("msg:custom", onMessage);
      },
      /** @param {{model: Model, el: HTMLElement}} context */
      render({ model, el }) {
        const root = element("div", { class: "wslab" });
        // a notebook takes plain keys as commands (d d deletes the cell); typed in a view they are the view's
        root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
          if (!event.ctrlKey && !event.metaKey && !event.altKey) event.stopPropagation();
        });
        el.append(root);
        const made = render(state, model, root);
        const rendering = { ...made, draw: oncePerFrame(made.draw) };
        renderings.add(rendering);
        rendering.draw();
        return () => {
          renderings.delete(rendering);
          made.dispose?.();
        };
      },
    };
  };
}
