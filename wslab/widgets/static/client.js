/** A WebSocket client: a socket of the page's, by the first way that leads to the lab; what it experiences is written down. */
import { button, clock, element, liveView, oncePerFrame, size, visible } from "./common.js";
import { WAYS, reach } from "./ways.js";

/** @typedef {import("./common.js").Content} Content */
/** @typedef {import("./common.js").Model} Model */
/** @typedef {import("./ways.js").AnySocket} AnySocket */
/** @typedef {{paths: string[], codes: {[code: string]: string}, altered: {[way: string]: string}, seq: number}} State */
/** @typedef {"text" | "json" | "hex"} Mode */
/** @typedef {{at: number, sign: string, kind: string, text: string}} Line */

const KEPT = 500;
const CHARACTERS = 2000;
const BYTES = 96;
const STATES = ["connecting", "open", "closing", "closed"];
const BADGES = ["wslab-warn", "wslab-ok", "wslab-warn", "wslab-dim"];
/** Buttons that are called what they say. */
const NAMED = { "aria-label": null };
/** Renderings ask by number, and the answer goes to all of them. Random, since other pages count too. */
const question = () => Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);

/** @returns {State} */
function create() {
  return { paths: [], codes: {}, altered: {}, seq: 0 };
}

/** @param {State} state @param {Content} content */
function receive(state, content) {
  state.seq = content.s;
  if (content.t === "setup") Object.assign(state, { paths: content.paths, codes: content.codes, altered: content.altered });
}

/** @param {string} text @returns {Uint8Array<ArrayBuffer> | null} null where it is not pairs of hex digits */
function parseHex(text) {
  const digits = text.replace(/0x|[\s:,]/gi, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/** @param {Uint8Array} bytes */
function hexText(bytes) {
  const pairs = Array.from(bytes.subarray(0, BYTES), (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return `${pairs}${bytes.length > BYTES ? " …" : ""}  (${size(bytes.length)} binary)`;
}

/** @param {string} text */
const cut = (text) => (text.length > CHARACTERS ? `${text.slice(0, CHARACTERS)}… (${text.length.toLocaleString("en")} characters)` : text);

/** @param {Mode} mode @param {string} text @returns {{data: string | Uint8Array<ArrayBuffer> | null, note: string}} no data where it cannot be sent */
function compose(mode, text) {
  if (mode === "hex") {
    const data = parseHex(text);
    return { data, note: data ? `${data.length} byte${data.length === 1 ? "" : "s"}` : "expected pairs of hex digits, such as 48 69" };
  }
  if (mode === "text") return { data: text, note: "" };
  try {
    JSON.parse(text);
    return { data: text, note: "valid JSON" };
  } catch (error) {
    return { data: null, note: text ? `not JSON: ${/** @type {Error} */ (error).message}` : "expected JSON, such as {\"op\": \"hi\"}" };
  }
}

/** @param {Line} line */
function rowOf({ at, sign, kind, text }) {
  const names = /** @type {{[kind: string]: string}} */ ({ sent: "sent", received: "received", status: "status", failed: "status" });
  const row = element("div", { class: `wslab-client-row wslab-client-${kind}` },
    element("span", { class: "wslab-dim wslab-mono" }, clock(at)),
    element("span", { class: "wslab-client-sign", role: "img", "aria-label": names[kind] }, sign),
    element("span", { class: "wslab-client-text" }, visible(text)));
  row.dataset.kind = kind;
  return row;
}

/** @param {State} state @param {Model} model @param {HTMLElement} root */
function render(state, model, root) {
  /** @type {AnySocket | null} */
  let socket = null;
  let asked = 0;
  /** @type {AbortController | null} the search for a way that is under way */
  let search = null;
  let path = "";
  let way = "";
  let gone = false;
  let dropped = 0;
  /** @type {Line[]} */
  let pending = [];
  /** @type {string[]} */
  const sentBefore = [];
  let recalled = 0;

  const list = element("datalist", { id: `wslab-paths-${question()}` });
  const where = element("input", { type: "text", class: "wslab-client-path", list: list.id, "aria-label": "Path", placeholder: "/path",
    spellcheck: "false", autocomplete: "off", oninput: refresh, onkeydown: (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter" && !toggle.disabled && !busy()) connect();
    } });
  const toggle = button("Connect", "Open a WebSocket to the path, or close it", () => (busy() ? disconnect() : connect()), NAMED);
  const choice = element("select", { "aria-label": "Way to the lab", title: "The way to the lab: the first that works, or the one you choose" },
    element("option", { value: "" }, "any way"), ...WAYS.map((name) => element("option", { value: name }, name)));
  const badge = element("span", { class: "wslab-badge", role: "status" }, "closed");
  const route = element("span", { class: "wslab-dim" });
  const clear = button("Clear", "Empty the transcript", () => {
    rows.replaceChildren();
    pending = [];
    dropped = 0;
    refresh();
  }, NAMED);
  const rows = element("div", { class: "wslab-client-rows", role: "log", "aria-label": "Transcript", tabindex: "0" });
  const mode = element("select", { "aria-label": "Kind of message", title: "What is sent: text as it stands, text that must be JSON, or bytes in hex", onchange: refresh },
    element("option", { value: "text" }, "text"), element("option", { value: "json" }, "JSON"), element("option", { value: "hex" }, "hex"));
  const message = element("textarea", { rows: "1", "aria-label": "Message", placeholder: "Message: Enter sends, Shift+Enter breaks the line, ↑ recalls", spellcheck: "false", oninput: refresh, onkeydown: typed });
  const send = button("Send", "Send the message (Enter)", submit, NAMED);
  const note = element("span", { class: "wslab-client-note", role: "status" });
  root.classList.add("wslab-client");
  root.dataset.view = "client";
  // else JupyterLab runs the cell on Shift+Enter
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.append(element("div", { class: "wslab-bar" }, element("b", {}, "Client"), where, list, choice, toggle, badge, element("span", { class: "wslab-grow" }), route, clear), rows,
    element("div", { class: "wslab-client-send" }, mode, message, send), note);

  const busy = () => asked !== 0 || search !== null || (socket !== null && socket.readyState !== WebSocket.CLOSED);
  const flush = oncePerFrame(() => {
    const follow = rows.scrollHeight - rows.scrollTop - rows.clientHeight < 24;
    rows.append(...pending.map(rowOf));
    pending = [];
    while (rows.childElementCount > KEPT) {
      rows.firstElementChild?.remove();
      dropped += 1;
    }
    if (follow) rows.scrollTop = rows.scrollHeight;
    refresh();
  });

  /** @param {string} kind @param {string} text */
  function write(kind, text) {
    const sign = /** @type {{[kind: string]: string}} */ ({ sent: "↑", received: "↓", status: "•", failed: "✕" })[kind];
    pending.push({ at: Date.now() / 1000, sign, kind, text: cut(text) });
    if (pending.length > KEPT) {
      pending.shift();
      dropped += 1;
    }
    flush();
  }

  function connect() {
    path = where.value.trim();
    if (!path.startsWith("/")) {
      write("failed", `Expected a path that begins with “/”, got “${path}”. Choose one from the list.`);
      return;
    }
    if (path.includes("#")) {
      write("failed", "A WebSocket URL has no fragment (RFC 6455 section 3). Write “%23” for a “#” in the path.");
      return;
    }
    asked = question();
    model.send({ t: "address", id: asked });
    refresh();
  }

  function disconnect() {
    asked = 0; // an answer that is still on its way opens nothing
    search?.abort();
    socket?.close(1000, "closed by the page");
    refresh();
  }

  /** @param {Content} address */
  async function open(address) {
    if (address.error) {
      write("failed", [address.error, address.remedy].filter(Boolean).join(" "));
      return;
    }
    way = "";
    const mine = search = new AbortController();
    let told = 0;
    const reached = await reach(model, /** @type {import("./ways.js").Address} */ (address), path, {
      only: choice.value,
      signal: mine.signal,
      trying: (tried, shown, skipped) => {
        way = tried;
        for (const { way: other, why } of skipped.slice(told)) write("status", `not ${other}: ${why}`);
        told = skipped.length;
        write("status", `connecting to ${shown} (${tried})`);
      },
      opened: (made) => {
        socket = made;
        write("status", `open${made.protocol ? `, subprotocol ${made.protocol}` : ""}`);
        watch(made);
      },
    });
    if (search === mine) search = null;
    if (gone) {
      reached.socket?.close(1000, "the view was closed");
      return;
    }
    if (!reached.socket) {
      if (mine.signal.aborted) write("status", "given up");
      else write("failed", `${reached.problem}${reached.way && reached.way !== "tunnel" ? " A browser does not tell a page why: the lab's log does." : ""}`);
    } else if (state.altered[way]) {
      write("status", `The ${way} alters what passes. ${state.altered[way]}`);
    }
    refresh();
  }

  /** @param {AnySocket} mine */
  function watch(mine) {
    mine.binaryType = "arraybuffer";
    mine.onmessage = (/** @type {MessageEvent} */ { data }) => write("received", typeof data === "string" ? data : hexText(new Uint8Array(data)));
    mine.onclose = (/** @type {CloseEvent} */ { code, reason }) => {
      const name = state.codes[code] ? ` (${state.codes[code]})` : "";
      write("status", `closed with ${code}${name}${reason ? `: ${reason}` : ""}`);
      if (way === "proxy" && (code === 1005 || code === 1006)) write("status", "A proxy keeps the server's own code to itself: the table of connections has it.");
    };
  }

  function submit() {
    const { data } = compose(mode.value, message.value);
    if (data === null || socket?.readyState !== WebSocket.OPEN) return;
    socket.send(data);
    write("sent", typeof data === "string" ? data : hexText(data));
    if (message.value && sentBefore[sentBefore.length - 1] !== message.value) sentBefore.push(message.value);
    if (sentBefore.length > 50) sentBefore.shift();
    recalled = sentBefore.length;
    message.select();
    refresh();
  }

  /** @param {KeyboardEvent} event */
  function typed(event) {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      submit();
    } else if ((event.key === "ArrowUp" || event.key === "ArrowDown") && !message.value.includes("\n")) {
      event.preventDefault();
      recalled = Math.max(0, Math.min(sentBefore.length, recalled + (event.key === "ArrowUp" ? -1 : 1)));
      message.value = sentBefore[recalled] ?? "";
      refresh();
    }
  }

  function refresh() {
    const ready = asked || search ? WebSocket.CONNECTING : socket?.readyState ?? WebSocket.CLOSED;
    const { data, note: words } = compose(mode.value, message.value);
    const holes = where.value.match(/\{[^}]*\}/g) ?? [];
    badge.textContent = STATES[ready];
    badge.className = `wslab-badge ${BADGES[ready]}`;
    toggle.textContent = busy() ? "Disconnect" : "Connect";
    toggle.disabled = !busy() && (!where.value.trim() || holes.length > 0);
    where.readOnly = choice.disabled = busy();
    const altered = state.altered[way] ?? "";
    route.textContent = busy() && way ? `via ${way}` : "";
    route.title = altered;
    route.classList.toggle("wslab-altered", Boolean(altered));
    send.disabled = ready !== WebSocket.OPEN || data === null;
    note.textContent = !busy() && holes.length ? `Put a value in the place of ${holes.join(", ")}.` : visible(words);
    note.className = `wslab-client-note ${data === null && message.value ? "wslab-error" : "wslab-dim"}`;
    note.hidden = !note.textContent;
    clear.disabled = !rows.childElementCount;
    root.dataset.state = STATES[ready];
    root.dataset.way = way;
    root.dataset.rows = String(rows.childElementCount);
    root.dataset.dropped = String(dropped);
  }

  function draw() {
    root.dataset.seq = String(state.seq);
    list.replaceChildren(...state.paths.map((offer) => element("option", { value: offer })));
    if (!where.value && state.paths.length) where.value = state.paths[0];
    refresh();
  }

  return {
    draw,
    /** @param {Content} content */
    message(content) {
      if (content.t !== "address" || content.id !== asked) return;
      asked = 0;
      void open(content);
      refresh();
    },
    dispose() {
      gone = true;
      search?.abort();
      if (socket) socket.onclose = socket.onmessage = null;
      socket?.close(1000, "the view was closed");
    },
  };
}

export default liveView(create, receive, render);
