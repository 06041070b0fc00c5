/** A flow along t as an animation: samples on their way from the base density to the data. */

import { make, watchWidth } from "./dom.js";
import { axes, circle, frameOf, isSquare, placing, prepared, squared } from "./plane-map.js";
import { colour, onThemeChange, prefersStillness } from "./theme.js";

/**
 * @typedef {import("./steps-plot.js").Step} Step
 * @typedef {{start: {t: number, position: number[], velocity: number[]}, steps: Step[]}} Item
 * @typedef {{t: number[], x: number[], y: number[], vx: number[], vy: number[]}} Way
 */

const SECONDS = 4;
/** How far back a tail reaches, as a part of the interval, and in how many pieces. */
const TAIL = 0.1;
const PIECES = 5;
const NOTCHES = 1000;

export class Flow {
  /** @param {[number, number]} interval */
  constructor(interval) {
    this.interval = interval;
    /** @type {Way[]} */
    this.ways = [];
    /** @type {import("./plane-map.js").Box | null} */
    this.box = null;
    this.letter = "A";
    this.part = 0;
    this.side = 0;
    this.playing = 0;
    this.last = 0;
    this.canvas = make("canvas", { class: "plane", role: "img", "aria-label": "Samples along t" });
    this.button = make("button", { type: "button", class: "play", click: () => (this.playing ? this.pause() : this.play()) });
    this.scrub = make("input", { type: "range", min: 0, max: NOTCHES, value: 0, "aria-label": "Time t of the flow", input: () => this.#scrubbed() });
    this.shown = make("span", { class: "flow-t" });
    this.room = make("div", { class: "plane-box" }, this.canvas);
    this.element = make("div", { class: "flow" }, this.room, make("div", { class: "row" }, this.button, this.scrub, this.shown));
    watchWidth(this.room, (width) => {
      this.side = width;
      this.#paint();
    });
    onThemeChange(() => this.#paint());
    this.#nameButton();
  }

  /**
   * @param {Item[]} items
   * @param {[number, number]} across  which coordinates are shown
   * @param {import("./plane-map.js").Box} box
   * @param {string} letter
   */
  show(items, across, box, letter) {
    const first = this.ways.length === 0;
    this.ways = items.map((item) => wayOf(item, across));
    this.box = around(box, this.ways);
    this.letter = letter;
    if (first && prefersStillness()) this.part = 1;
    this.#paint();
    if (first && !prefersStillness()) this.play();
  }

  play() {
    if (this.part >= 1) this.part = 0;
    this.last = performance.now();
    this.playing = requestAnimationFrame((now) => this.#frame(now));
    this.#nameButton();
  }

  pause() {
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.#nameButton();
  }

  /** @param {number} now */
  #frame(now) {
    this.part = Math.min(1, this.part + Math.max(0, now - this.last) / 1000 / SECONDS);
    this.last = now;
    this.#paint();
    if (this.part < 1) this.playing = requestAnimationFrame((next) => this.#frame(next));
    else this.pause();
  }

  #scrubbed() {
    if (this.playing) this.pause();
    this.part = Number(this.scrub.value) / NOTCHES;
    this.#paint();
  }

  #nameButton() {
    this.button.textContent = this.playing ? "Pause" : "Play";
  }

  #paint() {
    const { part, side, box } = this;
    const [from, to] = this.interval;
    const t = from + part * (to - from);
    this.scrub.value = String(Math.round(NOTCHES * part));
    this.scrub.setAttribute("aria-valuetext", `t = ${t.toFixed(2)}`);
    this.shown.textContent = `t = ${t.toFixed(2)}`;
    const ctx = prepared(this.canvas, side, side);
    if (!ctx || !box) return;
    const frame = frameOf(side);
    const place = placing(box, frame);
    ctx.save();
    ctx.beginPath();
    ctx.rect(frame.left, frame.top, frame.size, frame.size);
    ctx.clip();
    ctx.strokeStyle = colour(this.letter);
    ctx.globalAlpha = 0.35;
    ctx.lineWidth = 1.2;
    ctx.beginPath();
    for (const way of this.ways) {
      for (let piece = 0; piece <= PIECES; piece++) {
        const at = Math.max(0, part - TAIL * (1 - piece / PIECES));
        const [x, y] = place(...positionAt(way, from + at * (to - from)));
        if (piece) ctx.lineTo(x, y);
        else ctx.moveTo(x, y);
      }
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
    for (const way of this.ways) circle(ctx, place(...positionAt(way, t)), 2.2, colour(this.letter));
    if (this.ways.length) this.#ring(ctx, place, this.ways[0], t);
    ctx.restore();
    axes(ctx, box, frame);
  }

  /**
   * One sample's whole way, with a ring wherever the solver landed.
   * @param {CanvasRenderingContext2D} ctx
   * @param {(x: number, y: number) => [number, number]} place
   * @param {Way} way
   * @param {number} t
   */
  #ring(ctx, place, way, t) {
    const [from, to] = this.interval;
    ctx.strokeStyle = colour("ink");
    ctx.lineWidth = 1.6;
    ctx.beginPath();
    for (let piece = 0; piece <= 60; piece++) ctx.lineTo(...place(...positionAt(way, from + (piece / 60) * (to - from))));
    ctx.stroke();
    way.t.forEach((_, index) => {
      circle(ctx, place(way.x[index], way.y[index]), 4, colour("paper"));
      ctx.stroke();
    });
    circle(ctx, place(...positionAt(way, t)), 5, colour("ink"));
  }
}

/**
 * Only times the solver landed on, in two coordinates; a second one below 0 means the number of the sample.
 * @param {Item} item
 * @param {[number, number]} across
 * @returns {Way}
 */
function wayOf({ start, steps }, [i, j]) {
  const landed = [start, ...steps.filter((step) => step.accepted)];
  const of = (/** @type {number[] | undefined} */ vector, /** @type {number} */ index) => (index < 0 ? 0 : vector?.[index] ?? 0);
  return {
    t: landed.map(({ t }) => t),
    x: landed.map(({ position }) => of(position, i)),
    y: landed.map(({ position }) => of(position, j)),
    vx: landed.map(({ velocity }) => of(velocity, i)),
    vy: landed.map(({ velocity }) => of(velocity, j)),
  };
}

/**
 * Between two landings by the cubic that has their positions and velocities: to look at, not to compute with.
 * @param {Way} way
 * @param {number} t
 * @returns {[number, number]}
 */
export function positionAt({ t: times, x, y, vx, vy }, t) {
  const forwards = times.at(-1) !== undefined && /** @type {number} */ (times.at(-1)) >= times[0];
  let index = 0;
  while (index < times.length - 2 && (forwards ? t > times[index + 1] : t < times[index + 1])) index++;
  if (times.length < 2) return [x[0], y[0]];
  const width = times[index + 1] - times[index];
  const s = Math.min(1, Math.max(0, (t - times[index]) / width));
  const [h00, h10, h01, h11] = [(1 + 2 * s) * (1 - s) ** 2, s * (1 - s) ** 2, s * s * (3 - 2 * s), s * s * (s - 1)];
  const along = (/** @type {number[]} */ p, /** @type {number[]} */ v) =>
    h00 * p[index] + h10 * width * v[index] + h01 * p[index + 1] + h11 * width * v[index + 1];
  return [along(x, vx), along(y, vy)];
}

/**
 * A box that has nearly all of every way in it.
 * @param {import("./plane-map.js").Box} box
 * @param {Way[]} ways
 */
function around(box, ways) {
  const widened = (/** @type {[number, number]} */ [low, high], /** @type {number[]} */ values) => {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (/** @type {number} */ part) => sorted[Math.round(part * (sorted.length - 1))] ?? 0;
    return /** @type {[number, number]} */ ([Math.min(low, at(0.005)), Math.max(high, at(0.995))]);
  };
  const wide = { x: widened(box.x, ways.flatMap(({ x }) => x)), y: widened(box.y, ways.flatMap(({ y }) => y)) };
  return isSquare(box) ? squared(wide) : wide;
}
