/** The box a display filter is typed into: Enter applies it, Escape clears it, arrow up recalls earlier ones. */
import { element, button, visible } from "./common.js";
import { DisplayFilter } from "./frames_filter.js";

const HISTORY = 50;
const AROUND = 40; // characters of a filter shown either side of a mistake
const TOKEN = /^(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|[\w.$@[\]-]+|&&|\|\||[=!<>]=|.)/su;

let boxCount = 0;

/** @param {string} text @param {number} position @returns {number} where the word that begins there ends */
export const wordEnd = (text, position) => position + (TOKEN.exec(text.slice(position))?.[0].length ?? 0);

/**
 * The filter around its mistake, which is underlined and has a caret below it.
 * @param {string} text
 * @param {number} position
 */
function placeShown(text, position) {
  const start = Math.max(0, position - AROUND);
  const end = Math.max(position, wordEnd(text, position));
  const before = (start ? "…" : "") + visible(text.slice(start, position));
  const after = visible(text.slice(end, end + AROUND)) + (text.length > end + AROUND ? "…" : "");
  const wrong = visible(text.slice(position, Math.min(end, position + AROUND))) || "\u00a0"; // a place for the end
  return element("code", { class: "wslab-mono wslab-filter-place" }, before, element("mark", {}, wrong), after);
}

/**
 * Builds the box.
 * @param {DisplayFilter} filter
 * @param {string[]} history filters applied in this page, the newest last
 * @param {Node[]} more what else stands in its row
 * @param {{changed: () => void, typed: () => void, leave: () => void}} on `changed` after a filter was asked for or ended
 */
export function filterBox(filter, history, more, on) {
  const id = `wslab-filter-${++boxCount}`;
  const input = element("input", {
    id,
    type: "text",
    class: "wslab-mono",
    placeholder: 'opcode==text && json.type=="chat"',
    spellcheck: "false",
    autocomplete: "off",
    autocapitalize: "off",
    "aria-describedby": `${id}-note`,
  });
  const apply = button("Apply", "Apply the display filter (Enter)", () => submit());
  const clear = button("Clear", "Clear the display filter (Escape)", () => reset());
  const note = element("div", { id: `${id}-note`, class: "wslab-filter-note", role: "status", "aria-live": "polite" });
  let place = history.length;
  let draft = "";
  /** @type {object | null} */
  let shown = null;

  function submit() {
    const text = input.value;
    if (!text.trim()) return reset();
    if (history.at(-1) !== text) history.push(text);
    if (history.length > HISTORY) history.shift();
    place = history.length;
    filter.apply(text);
    on.changed();
  }

  function reset() {
    input.value = draft = "";
    place = history.length;
    if (filter.asked.text || filter.applied.text || filter.mistake) filter.end();
    on.changed();
  }

  /** @param {number} step */
  function recall(step) {
    if (place === history.length) draft = input.value;
    const wanted = Math.min(Math.max(place + step, 0), history.length);
    if (wanted === place) return;
    place = wanted;
    input.value = history[place] ?? draft;
    input.setSelectionRange(input.value.length, input.value.length);
    on.typed();
  }

  input.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
    /** @type {{[key: string]: () => void}} */
    const actions = {
      Enter: submit,
      Escape: () => (input.value || filter.active || filter.mistake ? reset() : on.leave()),
      ArrowUp: () => recall(-1),
      ArrowDown: () => recall(1),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  input.addEventListener("input", () => {
    place = history.length;
    if (input.value) on.typed();
    else reset();
  });

  function draw() {
    const mistake = filter.mistake?.text === input.value || filter.mistake?.position === -1 ? filter.mistake : null;
    if (mistake) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
    const pending = !mistake && input.value.trim() && input.value !== filter.asked.text;
    clear.disabled = !input.value && !filter.active;
    apply.disabled = !pending && !mistake;
    note.classList.toggle("wslab-filter-wrong", Boolean(mistake));
    if (mistake === shown) return;
    shown = mistake;
    if (!mistake) return note.replaceChildren();
    const parts = [element("b", {}, "✗ "), element("span", {}, visible(mistake.message))];
    if (mistake.position >= 0) {
      parts.push(element("span", { class: "wslab-dim" }, `At character ${[...mistake.text.slice(0, mistake.position)].length + 1}: `));
      parts.push(placeShown(mistake.text, mistake.position));
      if (document.activeElement === input) input.setSelectionRange(mistake.position, wordEnd(mistake.text, mistake.position));
    }
    if (filter.active) parts.push(element("span", { class: "wslab-dim" }, ` Still in force: ${visible(filter.applied.text)}`));
    note.replaceChildren(...parts);
  }

  const row = element(
    "div",
    { class: "wslab-bar wslab-filter", role: "search", "aria-label": "Display filter" },
    element("label", { for: id }, "Filter"),
    input,
    apply,
    clear,
    ...more,
  );

  /** @param {string} text put where the caret is, in place of what is selected */
  function insert(text) {
    const { value, selectionStart: start, selectionEnd: end } = input;
    const gap = start && !/[\s(!{,]$/.test(value.slice(0, start)) ? " " : "";
    input.setRangeText(gap + text, start, end, "end");
    input.focus();
    on.typed();
  }
  return { nodes: [row, note], draw, insert };
}
