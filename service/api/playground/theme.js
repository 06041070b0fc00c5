/** Colours of the style sheet for what is painted on canvases, and news of a change between light and dark. */

const dark = matchMedia("(prefers-color-scheme: dark)");
const reduced = matchMedia("(prefers-reduced-motion: reduce)");

/** @type {Map<string, string>} */
let known = new Map();
dark.addEventListener("change", () => (known = new Map()));

/**
 * A custom property of the style sheet, such as `ink`.
 * @param {string} name
 */
export function colour(name) {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    known.set(name, value);
  }
  return value;
}

/** @param {() => void} repaint */
export const onThemeChange = (repaint) => dark.addEventListener("change", repaint);

/** Whether the reader would rather see nothing move by itself. */
export const prefersStillness = () => reduced.matches;
