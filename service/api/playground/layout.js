/** Parts that the views are put together from. */

import { readState } from "./address.js";
import { make, newId } from "./dom.js";
import { plain } from "./format.js";

/**
 * @param {string} title
 * @param {string} kind  a class
 * @param {...(Node | string)} content
 */
export function panel(title, kind, ...content) {
  const id = newId();
  return make("section", { class: `panel ${kind}`, "aria-labelledby": id }, make("h2", { id }, title), ...content);
}

/**
 * Numbers behind a plot, put together only while somebody has opened them.
 * @param {string} title
 * @param {() => Node} content
 */
export function disclosure(title, content) {
  const box = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title });
  const refresh = () => element.open && box.replaceChildren(content());
  const element = make("details", { toggle: refresh }, make("summary", {}, title), box);
  return { element, refresh };
}

/**
 * Whether a second tolerance stands beside the first.
 * @param {(on: boolean) => void} changed
 */
export function compareSwitch(changed) {
  const input = make("input", { type: "checkbox", role: "switch", checked: readState().compare !== "no", change: () => changed(input.checked) });
  return {
    element: make("label", { class: "switch" }, input, "compare two tolerances"),
    get on() {
      return input.checked;
    },
  };
}

/**
 * Where the knobs begin: as the address says, else one loose and one tight, within the limits.
 * @param {import("./models.js").Limits} limits
 * @param {import("./models.js").Row[]} rows
 * @returns {{A: string, B: string}}
 */
export function beginnings({ loosest, tightest }, rows) {
  const { a, b } = readState();
  const within = (/** @type {string | undefined} */ text) =>
    text !== undefined && (text === "auto" ? rows.length > 0 : Number(text) >= tightest && Number(text) <= loosest);
  const tight = Math.max(tightest, Math.min(1e-5, loosest));
  return { A: within(a) ? a : plain(loosest), B: within(b) ? b : plain(tight) };
}
