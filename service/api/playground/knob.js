/** The tolerance as something to hold: a slider over powers of ten, a switch for auto, a choice of method. */

import { make } from "./dom.js";
import { power, scientific } from "./format.js";

const STEP = 0.1;

/** @typedef {{tol: number | "auto", method: string}} Setting */

export class Knob {
  /**
   * @param {object} options
   * @param {"A" | "B"} options.letter
   * @param {import("./models.js").Limits} options.limits
   * @param {string[]} options.methods
   * @param {boolean} options.mayAuto
   * @param {string} options.begin  a tolerance as a query has it
   * @param {(setting: Setting, dragging: boolean) => void} options.changed
   */
  constructor({ letter, limits, methods, mayAuto, begin, changed }) {
    this.letter = letter;
    this.limits = limits;
    this.changed = changed;
    const [least, most] = [-Math.log10(limits.loosest), -Math.log10(limits.tightest)];
    this.shown = make("span", { class: "tol-value" });
    this.slider = make("input", {
      type: "range", class: "tol-slider", min: least.toFixed(4), max: most.toFixed(4), step: STEP,
      "aria-label": `Tolerance ${letter}, loose to tight`,
      input: () => this.#moved(true),
      change: () => this.#moved(false),
    });
    this.auto = make("input", { type: "checkbox", role: "switch", change: () => this.#moved(false) });
    const automatic = make("label", { class: "switch" }, this.auto, "auto");
    automatic.title = "Let the service tighten the tolerance until the label is stable";
    automatic.hidden = !mayAuto;
    const select = make("select", { class: "method", change: () => this.#moved(false) });
    select.append(...["auto", ...methods].map((method) => make("option", { value: method }, method)));
    this.method = select;
    const choice = make("label", { class: "method-label" }, make("span", {}, "method"), select);
    this.element = make(
      "div", { class: "knob" },
      make("div", { class: "knob-head" },
        make("span", { class: "letter", "aria-hidden": "true" }, letter),
        make("span", { class: "tol-text" }, make("span", { class: "tol-name" }, "tol"), " ", this.shown),
        automatic, choice),
      make("div", { class: "track" }, this.slider, ticks(least, most)),
    );
    this.#set(begin, mayAuto);
  }

  /** @returns {Setting} */
  get setting() {
    return { tol: this.auto.checked ? "auto" : this.tol, method: this.method.value };
  }

  get tol() {
    const { tightest, loosest } = this.limits;
    const rounded = Number((10 ** -Number(this.slider.value)).toPrecision(2));
    return Math.min(loosest, Math.max(tightest, rounded));
  }

  /**
   * Turns the knob, as a click on a plot does.
   * @param {number} tol
   * @param {string} method
   */
  turn(tol, method) {
    this.auto.checked = false;
    this.slider.value = String(-Math.log10(tol));
    this.method.value = method;
    this.#moved(false);
  }

  /**
   * What auto has come to.
   * @param {number} tol
   */
  showFound(tol) {
    if (!this.auto.checked) return;
    this.shown.textContent = scientific(tol);
    this.slider.value = String(-Math.log10(tol));
  }

  /**
   * @param {string} begin
   * @param {boolean} mayAuto
   */
  #set(begin, mayAuto) {
    this.auto.checked = begin === "auto" && mayAuto;
    const tol = Number(begin) || this.limits.default;
    this.slider.value = String(-Math.log10(tol));
    this.#show();
  }

  /** @param {boolean} dragging */
  #moved(dragging) {
    this.#show();
    this.changed(this.setting, dragging);
  }

  #show() {
    const automatic = this.auto.checked;
    this.slider.disabled = automatic;
    this.shown.textContent = automatic ? "auto" : scientific(this.tol);
    this.slider.setAttribute("aria-valuetext", automatic ? "chosen by the service" : this.tol.toExponential());
  }
}

/**
 * Marks at the powers of ten within the limits.
 * @param {number} least
 * @param {number} most
 */
function ticks(least, most) {
  const marks = make("div", { class: "ticks", "aria-hidden": "true" });
  for (let exponent = Math.ceil(least - 1e-6); exponent <= most + 1e-6; exponent++) {
    const mark = make("span", {}, power(-exponent));
    mark.style.setProperty("--at", String((exponent - least) / (most - least)));
    marks.append(mark);
  }
  return marks;
}
