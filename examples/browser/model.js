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
 * `work` whenever it is called, but one at a time: of the calls that come while it is under way one is left.
 * @param {() => Promise<void>} work
 * @param {(error: any) => void} failed
 */
export function latest(work, failed) {
  let wanted = false;
  let busy = false;
  return async () => {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted) {
      wanted = false;
      try {
        await work();
      } catch (error) {
        failed(error);
      }
    }
    busy = false;
  };
}
