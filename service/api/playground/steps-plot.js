/** The attempts of a solver along t: how long each was, how large its error, whether it was accepted. */

import { draw, make, newId, watchWidth } from "./dom.js";
import { power, short } from "./format.js";

/**
 * @typedef {object} Step
 * @property {number} t  where it led
 * @property {number} dt
 * @property {boolean} accepted
 * @property {number | null} error_ratio
 * @property {number[]} [probabilities]
 * @property {number[]} [position]
 * @property {number[]} [velocity]
 */

export const LEFT = 58;
export const RIGHT = 40;
const HEIGHT = 104;
const TOP = 8;
const BOTTOM = 6;
/** Decades of the error ratio that are shown; what is smaller lies on the ground. */
const DECADES = [-4, 1];
const MARKED = [0, -2, -4];

/** One strip: the attempts of one solve. */
export class StepsPlot {
  /** @param {"A" | "B"} letter */
  constructor(letter) {
    this.letter = letter;
    this.width = 0;
    /** @type {{steps: Step[], interval: [number, number]} | null} */
    this.path = null;
    this.pattern = newId();
    this.svg = draw("svg", { class: `strip of-${letter}`, role: "img", height: HEIGHT });
    this.element = make("div", { class: "strip-box" }, this.svg);
    watchWidth(this.element, (width) => {
      this.width = width;
      this.#paint();
    });
    this.#paint();
  }

  /**
   * @param {Step[]} steps
   * @param {[number, number]} interval
   */
  show(steps, interval) {
    this.path = { steps, interval };
    this.#paint();
  }

  #paint() {
    const { svg, width, path } = this;
    svg.setAttribute("width", String(width || 1));
    svg.setAttribute("aria-label", path ? described(this.letter, path.steps) : `${this.letter}: no steps yet`);
    svg.replaceChildren(...this.#frame(width));
    if (!path || !width) return;
    const [from, to] = path.interval;
    const across = (/** @type {number} */ t) => LEFT + ((t - from) / (to - from)) * (width - LEFT - RIGHT);
    const direction = Math.sign(to - from);
    for (const step of path.steps) svg.append(this.#attempt(step, across(step.t - direction * step.dt), across(step.t)));
  }

  /** @param {number} width */
  #frame(width) {
    const lines = MARKED.flatMap((exponent) => {
      const y = up(10 ** exponent);
      const line = { x1: LEFT, x2: Math.max(LEFT, width - RIGHT), y1: y, y2: y, class: exponent ? "grid" : "limit" };
      const label = draw("text", { x: LEFT - 8, y: y + 4, class: "tick" }, exponent ? power(exponent) : "tol");
      return [draw("line", line), label];
    });
    const hatch = draw("pattern", { id: this.pattern, width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      draw("line", { x1: 0, x2: 0, y1: 0, y2: 5, class: "hatch" }));
    return [draw("defs", {}, hatch), ...lines, draw("text", { x: 4, y: TOP + 12, class: "strip-letter" }, this.letter)];
  }

  /**
   * @param {Step} step
   * @param {number} x0
   * @param {number} x1
   */
  #attempt(step, x0, x1) {
    const y = step.error_ratio === null ? TOP : up(step.error_ratio);
    const ground = HEIGHT - BOTTOM;
    const [left, wide] = [Math.min(x0, x1), Math.max(1, Math.abs(x1 - x0) - 1)];
    const group = draw("g", { class: step.accepted ? "accepted" : "rejected" });
    group.append(
      draw("title", {}, `${step.accepted ? "accepted" : "rejected"}: to t = ${short(step.t)}, dt = ${short(step.dt)}, error ${short(step.error_ratio)} of the tolerance`),
      draw("rect", { x: left, y, width: wide, height: Math.max(1, ground - y), class: "block", fill: step.accepted ? false : `url(#${this.pattern})` }),
      step.accepted ? draw("circle", { cx: x1, cy: y, r: 3.6, class: "mark" }) : cross((x0 + x1) / 2, y),
    );
    return group;
  }
}

/** @param {number} ratio */
function up(ratio) {
  const [low, high] = DECADES;
  const at = (Math.min(high, Math.max(low, Math.log10(ratio || 1e-99))) - low) / (high - low);
  return HEIGHT - BOTTOM - at * (HEIGHT - BOTTOM - TOP);
}

/**
 * @param {number} x
 * @param {number} y
 */
const cross = (x, y) => draw("path", { d: `M${x - 4.5} ${y - 4.5}l9 9m0 -9l-9 9`, class: "mark" });

/**
 * @param {string} letter
 * @param {Step[]} steps
 */
function described(letter, steps) {
  const accepted = steps.filter((step) => step.accepted);
  const sizes = accepted.map((step) => step.dt);
  const range = sizes.length ? `; steps from ${short(Math.min(...sizes))} to ${short(Math.max(...sizes))} long` : "";
  return `Steps of ${letter}: ${accepted.length} accepted, ${steps.length - accepted.length} rejected${range}`;
}

/** The axis below the strips. */
export class TimeAxis {
  /**
   * @param {[number, number]} interval
   * @param {string} name
   */
  constructor(interval, name) {
    const svg = draw("svg", { class: "time-axis", height: 34, "aria-hidden": "true" });
    this.element = make("div", { class: "strip-box" }, svg);
    watchWidth(this.element, (width) => {
      svg.setAttribute("width", String(width));
      svg.replaceChildren();
      const [from, to] = interval;
      for (let part = 0; part <= 4; part++) {
        const x = LEFT + (part / 4) * (width - LEFT - RIGHT);
        svg.append(draw("line", { x1: x, x2: x, y1: 0, y2: 5, class: "limit" }));
        svg.append(draw("text", { x, y: 18, class: "tick middle" }, short(from + (part / 4) * (to - from))));
      }
      svg.append(draw("text", { x: width - RIGHT, y: 32, class: "axis-name end" }, name));
    });
  }
}

/**
 * The same as numbers, for readers of tables.
 * @param {Partial<Record<"A" | "B", Step[]>>} paths
 */
export function stepsTable(paths) {
  const head = ["", "t", "dt", "error / tol", ""].map((text) => make("th", { scope: "col" }, text || "\u00a0"));
  const rows = Object.entries(paths).flatMap(([letter, steps]) =>
    steps.map((step) =>
      make("tr", {}, make("th", { scope: "row" }, letter),
        ...[short(step.t), short(step.dt), short(step.error_ratio), step.accepted ? "accepted" : "rejected"].map(
          (text) => make("td", {}, text)))));
  return make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}
