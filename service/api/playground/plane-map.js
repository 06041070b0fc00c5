/** A square of the plane: a density as a heat map, or points with their colours, and samples over it. */

import { make, watchWidth } from "./dom.js";
import { tick } from "./format.js";
import { colour, onThemeChange } from "./theme.js";

/**
 * @typedef {{x: [number, number], y: [number, number]}} Box
 * @typedef {{x: number, y: number, colour: string}} Dot
 * @typedef {{image?: HTMLCanvasElement, dots?: Dot[], samples?: [number, number][]}} Content
 */

export const MARGIN = { left: 34, right: 6, top: 6, bottom: 22 };

export class PlaneMap {
  /** @param {string} name  what it shows, for screen readers */
  constructor(name) {
    /** @type {Box | null} */
    this.box = null;
    /** @type {Content} */
    this.content = {};
    this.side = 0;
    this.canvas = make("canvas", { class: "plane", role: "img", "aria-label": name });
    this.element = make("div", { class: "plane-box" }, this.canvas);
    watchWidth(this.element, (width) => {
      this.side = width;
      this.paint();
    });
    onThemeChange(() => this.paint());
  }

  /** @param {string} words */
  describe(words) {
    this.canvas.setAttribute("aria-label", words);
  }

  /**
   * @param {Box} box
   * @param {Content} content
   */
  show(box, content) {
    this.box = box;
    this.content = content;
    this.paint();
  }

  paint() {
    const { box, side } = this;
    const ctx = prepared(this.canvas, side, side);
    if (!ctx || !box) return;
    const { image, dots = [], samples = [] } = this.content;
    const frame = frameOf(side);
    if (image) {
      ctx.imageSmoothingQuality = "high";
      ctx.drawImage(image, frame.left, frame.top, frame.size, frame.size);
    }
    ctx.save();
    ctx.beginPath();
    ctx.rect(frame.left, frame.top, frame.size, frame.size);
    ctx.clip();
    const place = placing(box, frame);
    for (const dot of dots) circle(ctx, place(dot.x, dot.y), 3, dot.colour);
    ctx.strokeStyle = "rgb(0 0 0 / 0.55)";
    ctx.lineWidth = 0.8;
    for (const [x, y] of samples) {
      circle(ctx, place(x, y), 1.9, "#fff");
      ctx.stroke();
    }
    ctx.restore();
    axes(ctx, box, frame);
  }
}

/**
 * A canvas of that many CSS pixels, sharp on any screen, wiped.
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function prepared(canvas, width, height) {
  if (!width) return null;
  const scale = devicePixelRatio;
  const [columns, rows] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== columns || canvas.height !== rows) Object.assign(canvas, { width: columns, height: rows });
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.setTransform(scale, 0, 0, scale, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/** @typedef {{left: number, top: number, size: number}} Frame */

/** @param {number} side */
export const frameOf = (side) => ({ left: MARGIN.left, top: MARGIN.top, size: side - MARGIN.left - MARGIN.right });

/**
 * @param {Box} box
 * @param {Frame} frame
 * @returns {(x: number, y: number) => [number, number]}
 */
export function placing({ x: [x0, x1], y: [y0, y1] }, { left, top, size }) {
  return (x, y) => [left + ((x - x0) / (x1 - x0)) * size, top + (1 - (y - y0) / (y1 - y0)) * size];
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {[number, number]} at
 * @param {number} radius
 * @param {string} fill
 */
export function circle(ctx, [x, y], radius, fill) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 7);
  ctx.fillStyle = fill;
  ctx.fill();
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Box} box
 * @param {Frame} frame
 */
export function axes(ctx, box, frame) {
  const place = placing(box, frame);
  const { left, top, size } = frame;
  ctx.strokeStyle = colour("line");
  ctx.lineWidth = 1;
  ctx.strokeRect(left + 0.5, top + 0.5, size - 1, size - 1);
  ctx.fillStyle = colour("muted");
  ctx.font = "12px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (const value of marks(...box.x)) ctx.fillText(tick(value), place(value, 0)[0], top + size + 6);
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const value of marks(...box.y)) ctx.fillText(tick(value), left - 6, place(0, value)[1]);
  ctx.textAlign = "start";
}

/**
 * Three to six round numbers within a range.
 * @param {number} low
 * @param {number} high
 */
export function marks(low, high) {
  const rough = (high - low) / 4;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * (rough / unit >= 5 ? 5 : rough / unit >= 2 ? 2 : 1);
  const first = Math.ceil((low + 0.04 * (high - low)) / step);
  const last = Math.floor((high - 0.04 * (high - low)) / step);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => Number(((first + index) * step).toPrecision(6)));
}

/** @param {[number, number]} range */
const length = ([low, high]) => high - low;

/**
 * Whether both axes have one scale.
 * @param {Box} box
 */
export const isSquare = ({ x, y }) => Math.abs(length(x) - length(y)) < 1e-6 * length(x);

/**
 * The least box around one whose axes have one scale.
 * @param {Box} box
 * @returns {Box}
 */
export function squared({ x, y }) {
  const half = Math.max(length(x), length(y)) / 2;
  const around = (/** @type {[number, number]} */ [low, high]) => /** @type {[number, number]} */ ([(low + high) / 2 - half, (low + high) / 2 + half]);
  return { x: around(x), y: around(y) };
}
