/** One tolerance of a density: its knob, the log-densities found there, and samples with the way each came. */

import { ApiError, serverTiming } from "./api.js";
import { ask } from "./connection.js";
import { everyThird, highest } from "./density-values.js";
import { make } from "./dom.js";
import { Figures } from "./figures.js";
import { milliseconds, plain, short } from "./format.js";
import { Knob } from "./knob.js";
import { Latest } from "./latest.js";
import { calibratedError } from "./models.js";
import { decode } from "./npy.js";
import { PlaneMap } from "./plane-map.js";
import { COARSE, FINE, asNpy, gridOf } from "./points.js";
import { Waiting } from "./waiting.js";

const SAMPLES = 200;
/** Of the reference points: what the trade-off speaks of is points where there is data, which cost less than most of a map. */
export const TYPICAL = 32;

/**
 * @typedef {import("./knob.js").Setting} Setting
 * @typedef {import("./flow.js").Item & {sample: number[], solver: {nfe: number}}} Item
 * @typedef {object} Found
 * @property {ArrayLike<number>} values  log-densities
 * @property {number} size  cells along a side; 0 when they are of points
 * @property {number} nfe  mean per point
 * @property {number} solveMs
 * @property {number} tol
 */

/**
 * A server may take fewer points in a request than a fine grid has: then the coarse one stays.
 * @param {unknown} error
 */
function orTooLarge(error) {
  if (!(error instanceof ApiError && error.status === 413)) throw error;
}

export class DensitySide {
  /**
   * @param {object} options
   * @param {"A" | "B"} options.letter
   * @param {import("./models.js").Model} options.model
   * @param {import("./models.js").Row[]} options.rows
   * @param {string} options.begin
   * @param {() => void} options.changed
   */
  constructor({ letter, model, rows, begin, changed }) {
    this.letter = letter;
    this.model = model;
    this.rows = rows;
    this.changed = changed;
    this.enabled = true;
    this.route = model.signature["/density"];
    /** @type {import("./plane-map.js").Box | null} */
    this.box = null;
    /** @type {import("./points.js").Points | null} */
    this.points = null;
    this.seed = 0;
    /** @type {Found | null} */
    this.found = null;
    /** @type {{method: string, tol: number, nfe: number, error: number} | null} */
    this.typical = null;
    /** @type {Item[]} */
    this.items = [];
    this.requests = new Latest((/** @type {{setting: Setting, dragging: boolean}} */ asked, signal) => this.#solve(asked, signal));
    this.knob = new Knob({
      letter, limits: this.route.tol, methods: this.route.methods, mayAuto: false, begin,
      changed: (setting, dragging) => this.#want({ setting, dragging }),
    });
    this.map = new PlaneMap(`Density at ${letter}`);
    this.figures = new Figures({
      nfe: ["evaluations a point (NFE)", "How often the network was run for a point, on average"],
      points: ["points", "How many log-densities were asked for in one request"],
      ms: ["solve", "Milliseconds of the server's solver for all points"],
      trip: ["round trip", "Milliseconds from the request to the answer, as this page saw it"],
      mean: ["highest density", "Of the points shown"],
      calibrated: ["calibrated p99 error", "99 of 100 calibration points were nearer than this to a float64 solve"],
    });
    this.error = make("p", { class: "error", role: "alert", hidden: true });
    this.element = make("article", { class: `side of-${letter}`, "aria-label": `Tolerance ${letter}` },
      this.knob.element, this.error, this.map.element, this.figures.element);
    this.waiting = new Waiting(this.element);
  }

  /**
   * Where to look: a plane, or given points.
   * @param {{box: import("./plane-map.js").Box | null, points: import("./points.js").Points | null, seed: number}} where
   */
  look({ box, points, seed }) {
    Object.assign(this, { box, points, seed });
    this.#ask();
  }

  /** @param {boolean} on */
  enable(on) {
    if (this.enabled === on) return;
    this.enabled = on;
    this.element.hidden = !on;
    this.#ask();
  }

  asText() {
    return plain(this.knob.tol);
  }

  /** Log-densities on the coarse grid, whichever was asked for; of points as they are. */
  coarse() {
    return this.found?.size === FINE ? everyThird(this.found.values, FINE) : this.found?.values ?? [];
  }

  /** Where points like the data stand on the trade-off. */
  here() {
    if (!this.typical?.error) return null;
    const { method, nfe, error, tol } = this.typical;
    const row = calibratedError(this.rows, method, tol);
    return { method, nfe, error, ms: row ? (row.predicted_ms * nfe) / row.nfe_mean : 0 };
  }

  inWords() {
    return this.found ? `${this.letter}: tolerance ${plain(this.found.tol)}, ${short(this.found.nfe)} evaluations a point` : "";
  }

  #ask() {
    if (this.enabled && (this.box || this.points)) this.#want({ setting: this.knob.setting, dragging: false });
  }

  /** @param {{setting: Setting, dragging: boolean}} asked */
  #want(asked) {
    this.waiting.begin();
    this.requests.ask(asked);
  }

  /**
   * The coarse grid first; when the knob rests the fine one, and samples with their ways.
   * @param {{setting: Setting, dragging: boolean}} asked
   * @param {AbortSignal} signal
   */
  async #solve({ setting, dragging }, signal) {
    try {
      await this.#density(setting, this.box ? COARSE : 0, signal);
      this.waiting.end(false);
      await this.#ofTypical(setting, signal);
      this.waiting.end(!this.requests.next);
      if (dragging || this.requests.next) return;
      if (this.box) await this.#density(setting, FINE, signal).catch(orTooLarge);
      if (this.requests.next) return;
      await this.#samples(setting, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.waiting.end(!this.requests.next);
      this.error.textContent = error instanceof ApiError ? error.message : String(error);
      this.error.hidden = false;
    }
  }

  /**
   * @param {Setting} setting
   * @param {number} size  cells along a side, 0 for the points
   * @param {AbortSignal} signal
   */
  async #density(setting, size, signal) {
    const points = size && this.box ? gridOf(this.box, size) : this.points;
    if (!points) return;
    const call = { path: "density", query: { ...this.query(setting), partial: "true" }, npy: asNpy(points, this.route.input.shape), accept: "application/x-npy" };
    const { body, headers, milliseconds: tripMs } = await ask(call, signal);
    const { numbers: values } = decode(body);
    const timing = serverTiming(headers);
    const nfe = Number(headers.get("X-NFE")) / points.count;
    const tol = Number(plain(/** @type {number} */ (setting.tol)));
    this.found = { values, size, nfe, tol, solveMs: timing.solve };
    this.error.hidden = true;
    this.figures.show({
      nfe: short(nfe),
      points: points.count.toLocaleString("en"),
      ms: milliseconds(timing.solve),
      trip: milliseconds(tripMs),
      mean: short(Math.exp(highest([values]))),
    });
    this.element.dataset.tol = plain(tol);
    this.changed();
  }

  /**
   * @param {Setting} setting
   * @param {AbortSignal} signal
   */
  async #ofTypical(setting, signal) {
    if (!this.points) return;
    const { numbers, dim } = this.points;
    const points = Array.from({ length: TYPICAL }, (_, row) => Array.from(numbers.slice(row * dim, (row + 1) * dim)));
    const { body } = await ask({ path: "density", query: this.query(setting), json: { points } }, signal);
    /** @type {{solver: {method: string, nfe: number, rtol: number, calibrated_error: {p99: number, unit: string} | null}}[]} */
    const predictions = body.predictions;
    const { method, rtol: tol, calibrated_error: error } = predictions[0].solver;
    const nfe = predictions.reduce((sum, { solver }) => sum + solver.nfe, 0) / predictions.length;
    this.typical = { method, tol, nfe, error: error?.p99 ?? 0 };
    this.figures.show({ calibrated: error ? `${short(error.p99)} ${error.unit}` : "–" });
    this.changed();
  }

  /**
   * @param {Setting} setting
   * @param {AbortSignal} signal
   */
  async #samples(setting, signal) {
    if (!this.model.signature["/sample"]) return;
    const call = { path: "trajectory", query: { ...this.query(setting) }, json: { n: SAMPLES, seed: this.seed } };
    this.items = (await ask(call, signal)).body.items;
    this.changed();
  }

  /** @param {Setting} setting */
  query({ tol, method }) {
    return { model: this.model.id, tol: plain(/** @type {number} */ (tol)), ...(method === "auto" ? {} : { method }) };
  }
}
