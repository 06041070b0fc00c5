/** Asking until there is an answer: a server that starts, is busy or away is waited for, and a key is asked for. */

import { ApiError, Unreachable, currentKey, isKey, send, useKey } from "./api.js";
import { byId, make } from "./dom.js";

const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 4000;

/** @type {Set<() => void>} */
const waitingForKey = new Set();

/**
 * Errors: ApiError for what no waiting would change; AbortError when the signal says so.
 * @param {import("./api.js").Call} call
 * @param {AbortSignal} [signal]
 */
export async function ask(call, signal) {
  for (let attempt = 0; ; attempt++) {
    try {
      const answer = await send(call, signal);
      tell("");
      return answer;
    } catch (error) {
      if (signal?.aborted) throw error;
      const wait = error instanceof ApiError || error instanceof Unreachable ? waiting(error, attempt) : null;
      if (!wait) throw error;
      await unlessAborted(wait(), signal);
    }
  }
}

/**
 * What to wait for before another attempt; null where one would end the same way.
 * @param {ApiError | Unreachable} error
 * @param {number} attempt
 * @returns {(() => Promise<void>) | null}
 */
function waiting(error, attempt) {
  const pause = Math.min(FIRST_WAIT_MS * 2 ** attempt, LONGEST_WAIT_MS);
  if (error instanceof Unreachable) {
    tell("The server does not answer. Trying again …");
    return () => sleep(pause);
  }
  if (error.status === 401) {
    askForKey(currentKey() !== "");
    return () => new Promise((go) => waitingForKey.add(go));
  }
  if (error.status === 503 || error.status === 429) {
    tell(`The server says: ${error.message}. Trying again …`);
    return () => sleep(Math.min(1000 * (error.retrySeconds ?? 1), LONGEST_WAIT_MS));
  }
  return null;
}

/** @param {number} milliseconds */
const sleep = (milliseconds) => /** @type {Promise<void>} */ (new Promise((go) => setTimeout(go, milliseconds)));

/**
 * @param {Promise<void>} wait
 * @param {AbortSignal} [signal]
 */
function unlessAborted(wait, signal) {
  const aborted = new Promise((_, fail) => signal?.addEventListener("abort", () => fail(signal.reason), { once: true }));
  return Promise.race([wait, aborted]);
}

/** @param {string} message  empty when all is well */
function tell(message) {
  const notice = byId("notice");
  if (notice.textContent !== message) notice.textContent = message;
  notice.hidden = message === "";
}

/** @param {boolean} refused  the key that there is */
function askForKey(refused) {
  byId("key-why").textContent = refused
    ? "The server does not know this API key. Enter another one:"
    : "This server asks for an API key (401). Enter yours:";
  const form = byId("key-form");
  if (!form.hidden) return;
  form.hidden = false;
  showKeyState();
  byId("key").focus();
}

/** A plain link brings no key: with one in use, what asks for it cannot be linked to. */
function showKeyState() {
  byId("key-state").hidden = !currentKey();
  byId("models-link").hidden = currentKey() !== "" || !byId("key-form").hidden;
}

/** Lets the form for the key work, and the button that forgets it. */
export function listenForKey() {
  const form = byId("key-form");
  const field = /** @type {HTMLInputElement} */ (byId("key"));
  const forget = make("button", { type: "button", class: "quiet", click: () => (useKey(""), location.reload()) });
  forget.textContent = "Forget the key";
  byId("key-state").append(forget);
  showKeyState();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!isKey(field.value.trim())) {
      byId("key-why").textContent = "An API key has letters, digits and signs of ASCII alone, and no spaces; this one has others. Enter it again:";
      field.select();
      return;
    }
    useKey(field.value);
    field.value = "";
    form.hidden = true;
    showKeyState();
    const waiters = [...waitingForKey];
    waitingForKey.clear();
    for (const go of waiters) go();
  });
}
