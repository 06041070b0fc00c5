/** The public API, as any client would ask it: addresses relative to the page, a key if there is one. */

const BASE = new URL(".", location.href);
const KEPT = "odeserve-key";

/** What the API answered in place of a result. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {string} code
   * @param {string} message
   * @param {Record<string, any>} details
   * @param {number | null} retrySeconds
   */
  constructor(status, code, message, details, retrySeconds) {
    super(message);
    this.status = status;
    this.code = code;
    this.details = details;
    this.retrySeconds = retrySeconds;
  }
}

/** No answer at all. */
export class Unreachable extends Error {}

/**
 * Whether a header can carry it: visible ASCII without spaces.
 * @param {string} text
 */
export const isKey = (text) => /^[\x21-\x7e]+$/.test(text);

let key = kept();

/** The key that requests bring; empty for none. It stays in this tab's session and nowhere else. */
export const currentKey = () => key;

/** @param {string} given */
export function useKey(given) {
  key = given.trim();
  try {
    if (key) sessionStorage.setItem(KEPT, key);
    else sessionStorage.removeItem(KEPT);
  } catch {
    // Storage may be forbidden; the key then lasts as long as the page.
  }
}

function kept() {
  try {
    const found = sessionStorage.getItem(KEPT) ?? "";
    if (isKey(found)) return found;
    sessionStorage.removeItem(KEPT);
    return "";
  } catch {
    return "";
  }
}

/**
 * @typedef {object} Call
 * @property {string} path  without a leading slash
 * @property {Record<string, string | number>} [query]
 * @property {unknown} [json]  a body
 * @property {Uint8Array<ArrayBuffer>} [npy]  a body
 * @property {string} [accept]
 *
 * @typedef {object} Answer
 * @property {any} body  parsed JSON, or an ArrayBuffer
 * @property {Headers} headers
 * @property {number} milliseconds  from the call to the last byte
 */

/** @param {Call} call */
export function address({ path, query = {} }) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, String(value));
  return url;
}

/**
 * Errors: ApiError, Unreachable; AbortError when the signal says so.
 * @param {Call} call
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export async function send(call, signal) {
  /** @type {Record<string, string>} */
  const headers = { Accept: call.accept ?? "application/json" };
  if (key) headers.Authorization = `Bearer ${key}`;
  if (call.json !== undefined) headers["Content-Type"] = "application/json";
  if (call.npy) headers["Content-Type"] = "application/x-npy";
  const body = call.npy ?? (call.json === undefined ? undefined : JSON.stringify(call.json));
  const begun = performance.now();
  try {
    const answer = await fetch(address(call), { method: body ? "POST" : "GET", headers, body, signal });
    if (!answer.ok) throw await failure(answer);
    const packed = answer.headers.get("Content-Type")?.includes("npy");
    const content = packed ? await answer.arrayBuffer() : await answer.json();
    return { body: content, headers: answer.headers, milliseconds: performance.now() - begun };
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    throw new Unreachable("the server does not answer");
  }
}

/** @param {Response} answer */
async function failure(answer) {
  const retry = Number(answer.headers.get("Retry-After")) || null;
  try {
    const { code, message, details } = (await answer.json()).error;
    return new ApiError(answer.status, code, message, details ?? {}, retry);
  } catch {
    return new ApiError(answer.status, "none", `HTTP ${answer.status} ${answer.statusText}`, {}, retry);
  }
}

/**
 * Milliseconds by name from a Server-Timing header.
 * @param {Headers} headers
 * @returns {Record<string, number>}
 */
export function serverTiming(headers) {
  const entries = (headers.get("Server-Timing") ?? "").matchAll(/(\w+);dur=([\d.]+)/g);
  return Object.fromEntries([...entries].map(([, name, value]) => [name, Number(value)]));
}
