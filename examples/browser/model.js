/** The model in its worker, asked from the page. */

const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
/** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
const asked = new Map();
let last = 0;

worker.onmessage = ({ data: { id, value, error } }) => {
  const { resolve, reject } = /** @type {any} */ (asked.get(id));
  asked.delete(id);
  if (error === undefined) resolve(value);
  else reject(new Error(error));
};
worker.onerror = () => {
  for (const { reject } of asked.values()) reject(new Error("onnxruntime-web is not here: run npm install in this folder"));
  asked.clear();
};

function ask(/** @type {object} */ question) {
  return new Promise((resolve, reject) => {
    asked.set(++last, { resolve, reject });
    worker.postMessage({ id: last, ...question });
  });
}

/** @returns {Promise<{about: any, bytes: number, milliseconds: number}>} What the file says of itself, and its loading. */
export const load = (/** @type {string} */ address) => ask({ address: new URL(address, location.href).href });

/** An input at some tolerances, in one run. @returns {Promise<any[]>} a lane each */
export const solve = (/** @type {Float32Array} */ input, /** @type {number[]} */ tols) => ask({ input, tols });

/**
 * `work` on the latest of what it is called with: while it is under way only the last call is kept.
 * @template T
 * @param {(value: T) => Promise<void>} work
 */
export function latest(work) {
  /** @type {{value: T} | null} */
  let waiting = null;
  let busy = false;
  return async (/** @type {T} */ value) => {
    waiting = { value };
    if (busy) return;
    busy = true;
    while (waiting) {
      const next = waiting;
      waiting = null;
      await work(next.value);
    }
    busy = false;
  };
}
