/** Figures with their names: what an answer cost. */

import { make } from "./dom.js";

export class Figures {
  /** @param {Record<string, [string, string]>} names  by key: what it is called, and what it means */
  constructor(names) {
    /** @type {Record<string, HTMLElement>} */
    this.values = {};
    this.element = make("dl", { class: "figures" });
    for (const [key, [name, meaning]] of Object.entries(names)) {
      this.values[key] = make("dd", { "data-figure": key }, "–");
      this.element.append(make("div", { title: meaning }, make("dt", {}, name), this.values[key]));
    }
  }

  /** @param {Record<string, string>} texts  those that are new */
  show(texts) {
    for (const [key, text] of Object.entries(texts)) this.values[key].textContent = text;
  }

  /** There is no answer. */
  clear() {
    for (const value of Object.values(this.values)) value.textContent = "–";
  }
}
