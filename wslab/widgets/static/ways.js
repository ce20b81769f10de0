/**
 * The ways from a page to the kernel's server: direct, Jupyter's proxy, the widget's own comm.
 * `reach` takes the first that works, in bounded time, and says in words why the others were not taken.
 */
import { TunnelSocket } from "./tunnel.js";

/** @typedef {import("./common.js").Model} Model */
/** @typedef {"direct" | "proxy" | "tunnel"} Way */
/** @typedef {WebSocket | TunnelSocket} AnySocket */
/**
 * Where the lab is, as the kernel says. `probe` is a path that this lab alone answers, with `answer`: so the
 * token is never sent to whatever else may listen at that port of the reader's own machine.
 * @typedef {{port: number, token: string, base_url: string | null, direct: string, probe: string, answer: string}} Address
 */
/** @typedef {{way: Way, why: string}} Skipped */
/**
 * `socket` is null where no way led in; then `problem` says why.
 * @typedef {{socket: AnySocket | null, way: Way | "", shown: string, skipped: Skipped[], problem: string}} Reached
 */
/**
 * The page, for tests to replace.
 * @typedef {{location: {protocol: string, hostname: string, host: string}, fetch: typeof fetch,
 *   WebSocket: typeof WebSocket, config: () => string | null}} Surroundings
 */
/**
 * @typedef {{protocols?: string[], only?: Way | "", seconds?: number, signal?: AbortSignal, page?: Surroundings,
 *   trying?: (way: Way, shown: string, skipped: Skipped[]) => void, opened?: (socket: AnySocket, way: Way) => void}} Options
 * `only`: try this way and no other; `seconds`: limit for each step; `trying` is called before a handshake;
 * `opened` is called from within the open event, so that no message can come before its listener.
 */

/** @type {Way[]} */
export const WAYS = ["direct", "proxy", "tunnel"];

/** The way that worked, by lab: a restarted kernel has another probe. @type {Map<string, Way>} */
const worked = new Map();

/** @returns {string | null} Jupyter's own configuration of its page */
const pageConfig = () => document.getElementById("jupyter-config-data")?.textContent ?? null;

/** @returns {Surroundings} */
const thisPage = () => ({ location, fetch: (...given) => fetch(...given), WebSocket, config: pageConfig });

/** @param {string} host */
const isLoopback = (host) => host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);

/** @param {Surroundings} page @param {Address} address @returns {string | null} with a slash at both ends */
export function basePath(page, address) {
  let base = null;
  try {
    base = JSON.parse(page.config() ?? "{}").baseUrl;
  } catch {
    // another front end's element of the same name
  }
  if (typeof base !== "string" || !base) base = address.base_url;
  return typeof base === "string" && base ? base.replace(/^\/*/, "/").replace(/\/*$/, "/") : null;
}

/**
 * What speaks against a way before anything is tried; "" for nothing.
 * @param {Way} way @param {Address} address @param {Surroundings} page
 */
export function obstacle(way, address, page) {
  const { protocol, hostname } = page.location;
  if (way === "tunnel") return "";
  if (!address.port) return "The lab has no port: it was not started.";
  if (way === "proxy") {
    if (!protocol.startsWith("http")) return "This page does not come from a Jupyter server.";
    return basePath(page, address) === null ? "No Jupyter server is known that could pass it on." : "";
  }
  if (protocol === "https:") return "A page that came over https may not open an unencrypted address.";
  if (protocol === "http:" && !isLoopback(hostname)) return "This page may be on another machine than the kernel.";
  return "";
}

/**
 * Where a way leads: for HTTP, for the WebSocket, and to be shown, which is without the token.
 * @param {"direct" | "proxy"} way @param {Address} address @param {Surroundings} page @param {string} path
 */
export function target(way, address, page, path) {
  const { protocol, host } = page.location;
  const secure = way === "proxy" && protocol === "https:" ? "s" : "";
  const origin = way === "proxy" ? `//${host}${basePath(page, address)}proxy/${Number(address.port)}` : String(address.direct).replace(/^ws:|\/$/g, "");
  const shown = `ws${secure}:${origin}${path}`;
  // The proxy leaves no mark on a WebSocket, so the page does. Joined as text: URLSearchParams would write the
  // rest of the query anew.
  const more = [address.token && `lab_token=${encodeURIComponent(address.token)}`, way === "proxy" && "lab_via=proxy"].filter(Boolean).join("&");
  const url = more ? `${shown}${path.includes("?") ? "&" : "?"}${more}` : shown;
  return { probe: `http${secure}:${origin}${address.probe}`, url, shown };
}

/**
 * Whether this very lab answers there; "" if so, else why it is doubted.
 * @param {"direct" | "proxy"} way @param {string} url @param {Address} address @param {Surroundings} page @param {AbortSignal} signal
 */
async function probe(way, url, address, page, signal) {
  try {
    const answer = await page.fetch(url, { cache: "no-store", credentials: way === "direct" ? "omit" : "same-origin", signal });
    if (!answer.ok) return `It was answered with HTTP ${answer.status}.`;
    return (await answer.text()) === address.answer ? "" : "Something else than this lab answers there.";
  } catch {
    return signal.aborted ? "Nothing answered in time." : "Nothing answers there.";
  }
}

/**
 * Waits for a socket's open event.
 * @param {AnySocket} socket @param {AbortSignal} signal @param {() => void} opened
 * @returns {Promise<string>} "" when it opened, else why not
 */
function opening(socket, signal, opened) {
  return new Promise((resolve) => {
    const give = (/** @type {string} */ why) => {
      signal.removeEventListener("abort", late);
      resolve(why);
    };
    const late = () => {
      give("The handshake took too long.");
      socket.close();
    };
    signal.addEventListener("abort", late);
    socket.addEventListener("open", () => {
      if (signal.aborted) return;
      opened();
      give("");
    }, { once: true });
    socket.addEventListener("close", () => {
      const refusal = socket instanceof TunnelSocket ? socket.refusal : null;
      give(refusal ? `The handshake was refused${refusal.status ? ` with HTTP ${refusal.status}` : ""}: ${refusal.reason}` : "The handshake was refused.");
    }, { once: true });
  });
}

/** @param {number} seconds @param {AbortSignal} [signal] */
function limited(seconds, signal) {
  const limit = new AbortController();
  const abort = () => limit.abort();
  const timer = setTimeout(abort, seconds * 1000);
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  return { signal: limit.signal, done: () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  } };
}

/**
 * Opens a socket to `path` by the first way that works.
 * @param {Model} model the widget's, for the tunnel
 * @param {Address} address
 * @param {string} path with its query
 * @param {Options} [options]
 * @returns {Promise<Reached>}
 */
export async function reach(model, address, path, options = {}) {
  const { protocols = [], only = "", seconds = 5, signal, page = thisPage(), trying, opened } = options;
  const first = worked.get(address.probe);
  const order = only ? [only] : first ? [first, ...WAYS.filter((way) => way !== first)] : WAYS;
  /** @type {Skipped[]} */
  const skipped = [];
  for (const way of order) {
    let why = obstacle(way, address, page);
    const to = way === "tunnel" ? null : target(way, address, page, path);
    if (!why && to && way !== "tunnel") {
      const limit = limited(seconds, signal);
      why = await probe(way, to.probe, address, page, limit.signal);
      limit.done();
    }
    if (signal?.aborted) return { socket: null, way: "", shown: "", skipped, problem: "given up" };
    if (why) {
      skipped.push({ way, why });
      continue;
    }
    const shown = to ? to.shown : `tunnel:${path}`;
    trying?.(way, shown, [...skipped]);
    /** @type {AnySocket} */
    let socket;
    try {
      socket = to ? new page.WebSocket(to.url, protocols) : new TunnelSocket(model, path, protocols);
    } catch {
      // The browser's own words quote the URL, and with it the token.
      return { socket: null, way, shown, skipped, problem: `The browser refuses to open a WebSocket to ${shown}.` };
    }
    // The tunnel's handshake is the kernel's, which has a limit of its own and says why.
    const limit = limited(way === "tunnel" ? Math.max(seconds, 12) : seconds, signal);
    why = await opening(socket, limit.signal, () => {
      worked.set(address.probe, way);
      opened?.(socket, way);
    });
    limit.done();
    if (!why) return { socket, way, shown, skipped, problem: "" };
    worked.delete(address.probe);
    if (signal?.aborted) return { socket: null, way: "", shown, skipped, problem: "given up" };
    // Jupyter's proxy answers before the server does: if it refuses, it passes no WebSockets at all.
    // Directly and through the tunnel it was the server that refused, and would again.
    if (way !== "proxy" || only) return { socket: null, way, shown, skipped, problem: why };
    skipped.push({ way, why: "It passes no WebSocket on." });
  }
  const reasons = skipped.map(({ way, why }) => `${way}: ${why}`).join(" ");
  return { socket: null, way: "", shown: "", skipped, problem: `No way leads to the lab. ${reasons}` };
}
