/** The line for a shell that makes the call just made. */

import { address, currentKey } from "./api.js";
import { make } from "./dom.js";

const SHOWN = 400;

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * @param {import("./api.js").Call} call  with a JSON body
 * @returns {string}
 */
export function curlLine(call) {
  const parts = [`curl -X POST ${quoted(address(call).href)}`, `-H 'Content-Type: application/json'`];
  if (currentKey()) parts.push(`-H "Authorization: Bearer $ODESERVE_KEY"`);
  parts.push(`-d ${quoted(JSON.stringify(call.json))}`);
  return parts.join(" \\\n  ");
}

/** Shows a line, long ones cut for the eye alone, with a button that copies all of it. */
export class CurlPanel {
  /** @param {string} title */
  constructor(title) {
    this.line = "";
    this.code = make("code", {});
    this.button = make("button", { type: "button", class: "quiet", click: () => this.#copy() }, "Copy");
    this.element = make(
      "div", { class: "curl" },
      make("div", { class: "curl-head" }, make("span", {}, title), this.button),
      make("pre", { tabindex: 0, role: "region", "aria-label": title }, this.code),
    );
  }

  /** @param {import("./api.js").Call} call */
  show(call) {
    this.line = curlLine(call);
    const { length } = this.line;
    this.code.textContent = length > SHOWN ? `${this.line.slice(0, SHOWN - 60)} … ${this.line.slice(-40)}` : this.line;
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.line);
      this.button.textContent = "Copied";
    } catch {
      // Without a secure origin there is no clipboard: the whole line is shown and selected instead.
      this.code.textContent = this.line;
      getSelection()?.selectAllChildren(this.code);
      this.button.textContent = "Selected";
    }
    setTimeout(() => (this.button.textContent = "Copy"), 1500);
  }
}
