/** What a display filter may name, to be looked up and put into the box. */
import { element, button, visible } from "./common.js";

const OPERATORS = "== != < <= > >= contains matches in {…}  &&  ||  !  (…)";
const EXAMPLES = ['opcode==ping', 'dir==in && len>125', 'json.type=="chat"', 'text contains "hello" && !(conn==c3)', "code in {1000, 1001}"];

let panelCount = 0;

/**
 * A button, and the panel that it opens.
 * @param {() => string[][] | null} fields name, kind and meaning of each; null as long as they are not known
 * @param {{wanted: () => void, chosen: (text: string) => void}} on `wanted` asks the kernel for them
 */
export function fieldsPanel(fields, on) {
  const panel = element("div", { id: `wslab-fields-${++panelCount}`, class: "wslab-filter-fields", role: "region", "aria-label": "What a display filter may name", tabindex: 0 });
  panel.hidden = true;
  const toggle = button("Fields", "What a display filter may name", () => setOpen(panel.hidden), { "aria-expanded": "false", "aria-controls": panel.id });
  let built = false;

  /** @param {boolean} open */
  function setOpen(open) {
    panel.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    if (open && !fields()) on.wanted();
    draw();
  }

  panel.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Escape") return;
    setOpen(false);
    toggle.focus();
  });

  /** @param {string} text @param {string} title */
  const choice = (text, title) => button(visible(text), title, () => on.chosen(text), { class: "wslab-mono" });

  function draw() {
    const known = fields();
    if (built || panel.hidden || !known) return;
    built = true;
    panel.append(
      element("p", {}, element("span", { class: "wslab-dim" }, "Operators "), element("code", { class: "wslab-mono" }, OPERATORS)),
      element("p", {}, element("span", { class: "wslab-dim" }, "Examples "), ...EXAMPLES.map((example) => choice(example, `Put ${example} into the filter`))),
      element(
        "dl",
        {},
        ...known.map(([name, kind, meaning]) =>
          element("div", {}, element("dt", {}, choice(name, `Put ${name} into the filter`)), element("dd", {}, visible(meaning), element("span", { class: "wslab-dim" }, ` ${visible(kind)}`))),
        ),
      ),
    );
  }
  return { toggle, panel, draw };
}
