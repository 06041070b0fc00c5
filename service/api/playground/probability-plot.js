/** How the likeliest classes came about: their probabilities at every time the solver landed on. */

import { make, watchWidth } from "./dom.js";
import { LEFT, RIGHT } from "./steps-plot.js";
import { colour, onThemeChange } from "./theme.js";

const CLASSES = 3;
const LEAST = 0.02;
/** Of the probability at the end, for a label there. */
const ENDS = 0.05;
const HEIGHT = 210;
const NOTHING = /** @type {uPlot.AlignedData} */ (Array.from({ length: 1 + 2 * CLASSES }, () => /** @type {number[]} */ ([])));
/** @typedef {{t: number, probabilities: number[]}} Moment */
/** @typedef {{A?: Moment[], B?: Moment[]}} Paths */

export class ProbabilityPlot {
  /**
   * @param {string[]} labels
   * @param {[number, number]} interval
   */
  constructor(labels, interval) {
    this.labels = labels;
    /** @type {number[]} */
    this.classes = [];
    this.element = make("div", { class: "chart", role: "img", "aria-label": "Class probabilities along t" });
    const series = /** @type {("A" | "B")[]} */ (["A", "B"]).flatMap((letter) =>
      Array.from({ length: CLASSES }, () => ({
        stroke: () => colour(letter), width: 2, spanGaps: true, dash: letter === "B" ? [5, 4] : undefined,
        points: { show: true, size: 6, fill: () => colour(letter), stroke: () => colour(letter) },
      })));
    const [from, to] = interval;
    const quiet = { stroke: () => colour("muted"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width: 300, height: HEIGHT, padding: [8, RIGHT, 0, 0], legend: { show: false }, cursor: { show: false },
      scales: {
        x: { time: false, range: () => [Math.min(from, to), Math.max(from, to)], dir: from < to ? 1 : -1 },
        y: { range: () => [0, 1.02] },
      },
      axes: [
        { ...quiet, size: 8, values: () => [], splits: () => [0, 1, 2, 3, 4].map((part) => Math.min(from, to) + (part / 4) * Math.abs(to - from)) },
        { ...quiet, size: LEFT, splits: () => [0, 0.5, 1], values: () => ["0", "½", "1"], font: FONT },
      ],
      series: [{}, ...series],
      hooks: { draw: [(plot) => this.#name(plot)] },
    }, NOTHING, this.element);
    watchWidth(this.element, (width) => this.plot.setSize({ width, height: HEIGHT }));
    onThemeChange(() => this.plot.redraw());
  }

  /** @param {Paths} paths */
  show(paths) {
    const moments = [...(paths.A ?? []), ...(paths.B ?? [])];
    this.classes = likeliest(moments);
    const tables = [paths.A, paths.B].map((path) => {
      const sorted = [...(path ?? [])].sort((a, b) => a.t - b.t);
      const columns = Array.from({ length: CLASSES }, (_, rank) =>
        sorted.map(({ probabilities }) => probabilities[this.classes[rank]] ?? null));
      return /** @type {uPlot.AlignedData} */ ([sorted.map(({ t }) => t), ...columns]);
    });
    this.plot.setData(uPlot.join(tables));
    this.element.setAttribute("aria-label", this.#described(paths));
  }

  /** @param {Paths} paths */
  #described(paths) {
    const told = Object.entries(paths).map(([letter, path]) => {
      const end = path.at(-1)?.probabilities ?? [];
      return `${letter} ends at ${this.classes.map((index) => `${this.labels[index]} ${(100 * end[index]).toFixed(1)} %`).join(", ")}`;
    });
    return `Class probabilities along t. ${told.join("; ")}`;
  }

  /**
   * Labels of the lines: at their ends, or where they are highest if nothing is left of them at the end.
   * @param {uPlot} plot
   */
  #name({ ctx, bbox, data, valToPos }) {
    const scale = devicePixelRatio;
    ctx.save();
    ctx.font = `600 ${12 * scale}px system-ui, sans-serif`;
    ctx.fillStyle = colour("ink");
    // A rim in the colour of the paper keeps letters apart from the lines that they lie on.
    ctx.strokeStyle = colour("paper");
    ctx.lineWidth = 4 * scale;
    ctx.lineJoin = "round";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    const places = this.classes.map((index, rank) => {
      const lines = [data[1 + rank], data[1 + CLASSES + rank]].map((line) => Array.from(line ?? []));
      const last = Math.max(...lines.map((line) => line.findLast((value) => value !== null && value !== undefined) ?? 0));
      const best = Math.max(...lines.flat().map((value) => value ?? 0));
      const ends = last > ENDS;
      const at = ends ? -1 : Math.max(...lines.map((line) => line.indexOf(best)));
      const x = ends ? bbox.left + bbox.width + 8 * scale : valToPos(Number(data[0][at]), "x", true) + 7 * scale;
      return { label: this.labels[index], ends, x, y: valToPos(ends ? last : best, "y", true) - (ends ? 0 : 8 * scale) };
    });
    for (const ends of [true, false]) {
      let lowest = -Infinity;
      for (const { label, x, y } of places.filter((place) => place.ends === ends).sort((a, b) => a.y - b.y)) {
        lowest = Math.max(y, lowest + 14 * scale);
        const text = ends ? fitted(ctx, label, (RIGHT - 10) * scale) : label;
        ctx.strokeText(text, x, lowest);
        ctx.fillText(text, x, lowest);
      }
    }
    ctx.restore();
  }
}

/**
 * As much of a text as has room.
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} text
 * @param {number} width
 */
function fitted(ctx, text, width) {
  let shown = text;
  for (let length = text.length - 1; length > 0 && ctx.measureText(shown).width > width; length--) shown = `${text.slice(0, length).trimEnd()}…`;
  return shown;
}

export const FONT = "12px system-ui, sans-serif";

/** @param {Moment[]} moments */
function likeliest(moments) {
  const best = moments.reduce((most, { probabilities }) => probabilities.map((p, index) => Math.max(p, most[index] ?? 0)), /** @type {number[]} */ ([]));
  const order = best.map((_, index) => index).sort((a, b) => best[b] - best[a]);
  return order.filter((index) => best[index] > LEAST).slice(0, CLASSES);
}
