/** The dashboard's title bar: state, address, application, counts. */
import { element, button, liveView, visible } from "./common.js";

/** @typedef {import("./common.js").Model} Model */
/** @typedef {import("./common.js").Content} Content */
/** @typedef {{status: Content | null}} State */

const COPIED_FOR = 2000; // milliseconds that the button says so

/** @returns {State} */
const create = () => ({ status: null });

/** @param {State} state @param {Content} content */
function receive(state, content) {
  if (content.t === "status") state.status = content;
}

/**
 * Copies `text`; where the page may not use the clipboard, by selecting a field.
 * @param {string} text
 * @param {HTMLElement} near
 * @returns {Promise<boolean>}
 */
async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = element("textarea", { class: "wslab-hidden", "aria-hidden": "true" });
    field.value = text;
    near.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}

/** @param {State} state @param {Model} _model @param {HTMLElement} root */
function render(state, _model, root) {
  root.classList.add("wslab-header");
  root.dataset.view = "header";
  const badge = element("span", { class: "wslab-badge" });
  const url = element("code", { class: "wslab-mono" });
  const said = element("span", { class: "wslab-hidden", role: "status" });
  const copier = button("copy", "Copy the address", async () => {
    const done = await copy(state.status?.url ?? "", root);
    copier.textContent = done ? "copied" : "not copied";
    said.textContent = done ? "The address is copied." : "This page may not copy: select the address instead.";
    copier.focus();
    setTimeout(() => (copier.textContent = "copy"), COPIED_FOR);
  });
  const app = element("span", { class: "wslab-header-app wslab-dim" });
  const counts = element("span", { class: "wslab-header-counts" });
  const meter = element("meter", { min: 0, max: 1000, low: 250, high: 500, optimum: 0, "aria-hidden": "true" });
  const held = element("span");
  const holder = element("span", { class: "wslab-hidden" }); // what the title says, for who cannot see it
  const lag = element("span", { class: "wslab-header-lag" }, meter, held, holder);
  root.append(element("div", { class: "wslab-bar" }, element("h3", {}, "WebSocket lab"), badge, url, copier, app, element("span", { class: "wslab-grow" }), lag, counts, said));

  /** @param {number} count @param {string} what */
  const counted = (count, what) => element("span", {}, element("b", {}, count.toLocaleString()), ` ${what}`);

  function draw() {
    const status = state.status;
    root.dataset.state = status?.state ?? "";
    if (!status) return;
    badge.textContent = visible(status.state);
    badge.className = `wslab-badge ${status.state === "serving" ? "wslab-ok" : "wslab-warn"}`;
    url.textContent = visible(status.url);
    url.hidden = copier.hidden = !status.url;
    app.textContent = app.title = visible(status.app);
    const by = status.lag_by ? ` by ${visible(status.lag_by)}` : "";
    meter.value = Math.min(status.lag, 1000);
    held.textContent = status.lag ? `loop held ${(status.lag / 1000).toFixed(1)} s` : "loop free";
    holder.textContent = by;
    lag.title = status.lag
      ? `The longest in the last minute: ${status.lag.toLocaleString("en")} ms${by}. Nothing is served meanwhile.`
      : "In the last minute nothing held the event loop for a tenth of a second.";
    lag.dataset.lag = String(status.lag);
    counts.replaceChildren(counted(status.open, "open"), counted(status.total, "in all"), counted(status.frames, "frames"));
  }

  return { draw };
}

export default liveView(create, receive, render);
