/** The calibrated trade-off of a model: what an answer costs against how wrong it is, and where the two knobs stand. */

import { make, watchWidth } from "./dom.js";
import { power, scientific, short } from "./format.js";
import { FONT } from "./probability-plot.js";
import { colour, onThemeChange } from "./theme.js";

/**
 * @typedef {import("./models.js").Row} Row
 * @typedef {"nfe" | "ms"} Cost
 * @typedef {{nfe: number, ms: number, error: number, method: string}} Here
 */

const HEIGHT = 380;
const NEAR = 18;
const HINT = "Each mark is a tolerance that was measured; choose one to go there.";
const COSTS = { nfe: "evaluations of the network per item (NFE)", ms: "predicted milliseconds on this server" };
/** Marks by method, in the order of the manifest: told apart by shape as well as by line. */
const SHAPES = [
  (/** @type {CanvasRenderingContext2D} */ ctx, /** @type {number} */ r) => ctx.arc(0, 0, r, 0, 7),
  (/** @type {CanvasRenderingContext2D} */ ctx, /** @type {number} */ r) => ctx.rect(-r, -r, 2 * r, 2 * r),
  (/** @type {CanvasRenderingContext2D} */ ctx, /** @type {number} */ r) => triangle(ctx, 1.3 * r),
];
const DASHES = [undefined, [7, 4], [2, 3]];

export class TradeoffPlot {
  /**
   * @param {Row[]} rows  of one program
   * @param {(tol: number, method: string) => void} chosen
   */
  constructor(rows, chosen) {
    this.rows = rows;
    this.chosen = chosen;
    /** @type {Cost} */
    this.cost = "nfe";
    /** @type {Partial<Record<"A" | "B", Here>>} */
    this.here = {};
    this.methods = [...new Set(rows.map(({ method }) => method))];
    this.chart = make("div", { class: "chart", role: "img", "aria-label": "Calibrated error against cost" });
    this.note = make("p", { class: "note" }, HINT);
    this.element = make("div", { class: "tradeoff" }, this.#choice(), this.chart, this.note, this.#table());
    this.plot = this.#plotted();
    watchWidth(this.chart, (width) => this.plot.setSize({ width, height: HEIGHT }));
    onThemeChange(() => this.plot.redraw());
    this.chart.addEventListener("pointermove", (event) => this.#point(event));
    this.chart.addEventListener("pointerleave", () => this.#tell(null));
    this.chart.addEventListener("click", (event) => {
      const row = this.#near(event);
      if (row) this.chosen(row.tol, row.method);
    });
  }

  /** @param {Partial<Record<"A" | "B", Here>>} here */
  show(here) {
    this.here = here;
    const told = Object.entries(here).map(([letter, { nfe, error }]) => `${letter}: ${short(nfe)} evaluations, p99 error ${short(error)}`);
    this.chart.setAttribute("aria-label", `Calibrated error against cost. ${told.join("; ")}`);
    this.plot.redraw(false);
  }

  #choice() {
    const group = make("div", { class: "segmented", role: "radiogroup", "aria-label": "Cost on the horizontal axis" });
    for (const [cost, text] of /** @type {[Cost, string][]} */ ([["nfe", "evaluations"], ["ms", "milliseconds"]])) {
      const radio = make("input", { type: "radio", name: "cost", value: cost, checked: cost === this.cost, change: () => this.#measure(cost) });
      group.append(make("label", {}, radio, make("span", {}, text)));
    }
    return group;
  }

  /** @param {Cost} cost */
  #measure(cost) {
    this.cost = cost;
    this.plot.destroy();
    this.plot = this.#plotted();
  }

  /** @param {Row} row */
  #costOf(row) {
    return this.cost === "nfe" ? row.nfe_mean : row.predicted_ms;
  }

  #plotted() {
    const { rows, methods } = this;
    const costs = rows.map((row) => this.#costOf(row));
    const errors = rows.map((row) => row.error_p99);
    const [x0, x1] = [Math.min(...costs) / 1.25, Math.max(...costs) * 1.6];
    const [y0, y1] = [Math.min(...errors) / 2, Math.max(...errors) * 2];
    const line = { stroke: () => colour("muted"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, font: FONT };
    const all = (/** @type {uPlot} */ _, /** @type {number[]} */ splits) => splits;
    const tables = methods.map((method) => {
      const own = rows.filter((row) => row.method === method).sort((a, b) => this.#costOf(a) - this.#costOf(b));
      const distinct = own.filter((row, index) => index === 0 || this.#costOf(row) !== this.#costOf(own[index - 1]));
      return /** @type {uPlot.AlignedData} */ ([distinct.map((row) => this.#costOf(row)), distinct.map((row) => row.error_p99)]);
    });
    return new uPlot({
      width: this.chart.clientWidth || 300, height: HEIGHT, padding: [10, 14, 0, 0],
      legend: { show: false }, cursor: { show: false },
      scales: {
        x: { time: false, distr: 3, range: () => [x0, x1] },
        y: { distr: 3, range: () => [y0, y1] },
      },
      axes: [
        { ...line, size: 30, label: COSTS[this.cost], labelSize: 22, labelFont: FONT, filter: all, splits: () => roundNumbers(x0, x1), values: (_, splits) => splits.map((value) => short(value)) },
        { ...line, size: 50, label: `p99 error, ${rows[0].unit}s`, labelSize: 20, labelFont: FONT, filter: all, splits: () => powersWithin(y0, y1), values: (_, splits) => splits.map((value) => power(Math.round(Math.log10(value)))) },
      ],
      series: [{}, ...methods.map((_, index) => ({ stroke: () => colour("series"), width: 1.5, dash: DASHES[index % DASHES.length], spanGaps: true, points: { show: false } }))],
      hooks: { draw: [(plot) => this.#mark(plot)] },
    }, uPlot.join(tables), this.chart);
  }

  /** @param {uPlot} plot */
  #mark(plot) {
    const { ctx } = plot;
    const scale = devicePixelRatio;
    const at = (/** @type {number} */ x, /** @type {number} */ y) => /** @type {[number, number]} */ ([plot.valToPos(x, "x", true), plot.valToPos(y, "y", true)]);
    ctx.save();
    for (const row of this.rows) {
      ctx.setTransform(1, 0, 0, 1, ...at(this.#costOf(row), row.error_p99));
      ctx.beginPath();
      SHAPES[this.methods.indexOf(row.method) % SHAPES.length](ctx, 3.2 * scale);
      ctx.fillStyle = colour("series");
      ctx.fill();
    }
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    this.#legend(plot, scale);
    for (const [letter, here] of Object.entries(this.here)) badge(ctx, letter, ...at(this.cost === "nfe" ? here.nfe : here.ms, here.error), scale);
    ctx.restore();
  }

  /**
   * Names of the methods with their marks, in the corner where no curve is: many evaluations and large errors.
   * @param {uPlot} plot
   * @param {number} scale
   */
  #legend({ ctx, bbox }, scale) {
    ctx.font = `${12 * scale}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    this.methods.forEach((method, index) => {
      const [x, y] = [bbox.left + bbox.width - 74 * scale, bbox.top + (14 + 18 * index) * scale];
      ctx.strokeStyle = ctx.fillStyle = colour("series");
      ctx.lineWidth = 1.5 * scale;
      ctx.setLineDash((DASHES[index % DASHES.length] ?? []).map((length) => length * scale));
      ctx.beginPath();
      ctx.moveTo(x - 12 * scale, y);
      ctx.lineTo(x + 12 * scale, y);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.translate(x, y);
      ctx.beginPath();
      SHAPES[index % SHAPES.length](ctx, 3.2 * scale);
      ctx.fill();
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.fillStyle = colour("ink");
      ctx.fillText(method, x + 20 * scale, y);
    });
  }

  /**
   * The row whose mark is under the pointer.
   * @param {MouseEvent} event
   */
  #near(event) {
    const box = this.plot.over.getBoundingClientRect();
    const distance = (/** @type {Row} */ row) => Math.hypot(
      this.plot.valToPos(this.#costOf(row), "x") - (event.clientX - box.left),
      this.plot.valToPos(row.error_p99, "y") - (event.clientY - box.top));
    const nearest = this.rows.reduce((a, b) => (distance(b) < distance(a) ? b : a));
    return distance(nearest) < NEAR ? nearest : null;
  }

  /** @param {PointerEvent} event */
  #point(event) {
    this.#tell(this.#near(event));
  }

  /** @param {Row | null} row */
  #tell(row) {
    this.chart.classList.toggle("pointed", row !== null);
    this.note.textContent = row
      ? `${row.method}, tol ${scientific(row.tol)}: ${short(row.nfe_mean)} evaluations (p99 ${short(row.nfe_p99)}), ${short(row.predicted_ms)} ms, p99 error ${short(row.error_p99)} ${row.unit}`
      : HINT;
  }

  #table() {
    const heads = ["method", "tol", "NFE", "ms", "p99 error"].map((text) => make("th", { scope: "col" }, text));
    const body = this.rows.map((row) => make("tr", {},
      make("th", { scope: "row" }, row.method),
      ...[scientific(row.tol), short(row.nfe_mean), short(row.predicted_ms), short(row.error_p99)].map((text) => make("td", {}, text))));
    const table = make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body));
    return make("details", {}, make("summary", {}, "The curve as numbers"), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The curve as numbers" }, table));
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} letter
 * @param {number} x
 * @param {number} y
 * @param {number} scale
 */
function badge(ctx, letter, x, y, scale) {
  ctx.beginPath();
  ctx.arc(x, y, 10 * scale, 0, 7);
  ctx.fillStyle = colour(letter);
  ctx.strokeStyle = colour("paper");
  ctx.lineWidth = 2 * scale;
  ctx.fill();
  ctx.stroke();
  ctx.fillStyle = colour("on-letter");
  ctx.font = `700 ${12 * scale}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(letter, x, y + scale);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {number} r
 */
function triangle(ctx, r) {
  ctx.moveTo(0, -r);
  ctx.lineTo(r, 0.8 * r);
  ctx.lineTo(-r, 0.8 * r);
  ctx.closePath();
}

/**
 * 1, 2, 5, 10, ... within a range.
 * @param {number} low
 * @param {number} high
 */
function roundNumbers(low, high) {
  const numbers = [];
  for (let exponent = Math.floor(Math.log10(low)); exponent <= Math.log10(high); exponent++) {
    for (const digit of [1, 2, 5]) numbers.push(Number(`${digit}e${exponent}`));
  }
  return numbers.filter((number) => number >= low && number <= high);
}

/**
 * @param {number} low
 * @param {number} high
 */
function powersWithin(low, high) {
  const first = Math.ceil(Math.log10(low));
  return Array.from({ length: Math.max(0, Math.floor(Math.log10(high)) - first + 1) }, (_, index) => 10 ** (first + index));
}
