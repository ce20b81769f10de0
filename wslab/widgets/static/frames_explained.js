/** Explanations of the kernel's (`wslab.wire.explain.explanation`) as tables. */
import { element, visible } from "./common.js";

/** @typedef {{title: string, rows: string[][], children: Explanation[]}} Explanation */

const HEADERS = ["field", "bits", "raw", "meaning", "section"];

/**
 * Something that is shown when it is asked for.
 * @param {string} title
 * @param {...HTMLElement} body
 */
export function disclosure(title, ...body) {
  const kind = title.split(/\W/)[0]; // what stays open when another frame is shown
  return element("details", { class: "wslab-disclosure", "data-kind": kind }, element("summary", {}, visible(title)), ...body);
}

/**
 * An explanation and those below it; columns in which nothing is said are left out.
 * @param {Explanation} explanation with "" for a title that is shown elsewhere
 * @returns {HTMLElement}
 */
export function explained({ title, rows, children }) {
  const used = HEADERS.map((_, column) => rows.some((row) => row[column]));
  const columns = HEADERS.map((_, column) => column).filter((column) => used[column]);
  /** @param {string} tag @param {string[]} cells */
  const line = (tag, cells) => element("tr", {}, ...columns.map((column) => element(tag, tag === "th" ? { scope: "col" } : {}, visible(cells[column]))));
  const table = element("table", { class: "wslab-explained" }, element("thead", {}, line("th", HEADERS)), element("tbody", {}, ...rows.map((row) => line("td", row))));
  return element(
    "div",
    {},
    ...(title ? [element("h4", {}, visible(title))] : []),
    ...(rows.length ? [table] : []),
    ...children.map(explained),
  );
}
