/** The state of the page in its address, after #, so that it can be shared and reloaded. */

const REST_MS = 250;

/** @type {Record<string, string>} */
let pending = {};
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** @returns {Record<string, string>} */
export const readState = () => ({ ...Object.fromEntries(new URLSearchParams(location.hash.slice(1))), ...pending });

/**
 * Notes what has changed, once it has come to rest: browsers bear few changes a second. Empty values are left out.
 * @param {Record<string, string>} changes
 */
export function noteState(changes) {
  pending = { ...pending, ...changes };
  clearTimeout(timer);
  timer = setTimeout(() => {
    const state = new URLSearchParams(Object.entries(readState()).filter(([, value]) => value));
    pending = {};
    history.replaceState(null, "", `#${state}`);
  }, REST_MS);
}
