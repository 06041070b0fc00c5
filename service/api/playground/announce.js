/** Results in words for screen readers, once things have come to rest: nothing else on the page speaks by itself. */

import { byId } from "./dom.js";

const REST_MS = 700;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @param {() => string} words */
export function announce(words) {
  clearTimeout(timer);
  timer = setTimeout(() => (byId("said").textContent = words()), REST_MS);
}
