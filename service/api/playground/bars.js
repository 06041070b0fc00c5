/** Class probabilities as bars, the likeliest marked. */

import { make } from "./dom.js";
import { percent } from "./format.js";

const MOST = 12;

export class Bars {
  /** @param {string[]} labels */
  constructor(labels) {
    this.labels = labels;
    const shown = labels.slice(0, MOST);
    this.rows = shown.map(() => {
      const bar = make("span", { class: "bar" });
      const label = make("span", { class: "bar-label" });
      const value = make("span", { class: "bar-value" }, "–");
      return { bar, label, value, element: make("li", {}, label, make("span", { class: "bar-track" }, bar), value) };
    });
    const long = Math.max(...labels.map((label) => label.length)) > 3;
    this.element = make("ul", { class: long ? "bars long" : "bars", "aria-label": "Class probabilities" }, ...this.rows.map(({ element }) => element));
    this.show(null);
  }

  /** @param {number[] | null} probabilities */
  show(probabilities) {
    const order = this.#order(probabilities);
    const best = probabilities ? probabilities.indexOf(Math.max(...probabilities)) : -1;
    this.rows.forEach((row, place) => {
      const index = order[place];
      const value = probabilities?.[index] ?? 0;
      row.label.textContent = this.labels[index];
      row.value.textContent = probabilities ? percent(value) : "–";
      row.bar.style.transform = `scaleX(${value})`;
      row.element.classList.toggle("best", index === best);
    });
  }

  /**
   * Labels in their own order where all have room, else the likeliest first.
   * @param {number[] | null} probabilities
   */
  #order(probabilities) {
    const order = this.labels.map((_, index) => index);
    if (probabilities && this.labels.length > MOST) order.sort((a, b) => probabilities[b] - probabilities[a]);
    return order;
  }
}
