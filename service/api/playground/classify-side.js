/** One tolerance of a classifier: its knob, and what the model answers there. */

import { ApiError } from "./api.js";
import { Bars } from "./bars.js";
import { ask } from "./connection.js";
import { make } from "./dom.js";
import { Figures } from "./figures.js";
import { milliseconds, percent, plain, scientific, short } from "./format.js";
import { Knob } from "./knob.js";
import { Latest } from "./latest.js";
import { calibratedError } from "./models.js";
import { Waiting } from "./waiting.js";

/**
 * @typedef {object} Solver
 * @property {string} method
 * @property {number} rtol
 * @property {number} nfe
 * @property {number} accepted
 * @property {number} rejected
 * @property {number} error_estimate
 * @property {{p99: number, unit: string} | null} calibrated_error
 * @property {{tol: number, nfe: number}[] | null} [attempts]
 *
 * @typedef {object} Classification
 * @property {string | null} label
 * @property {number[] | null} probabilities
 * @property {boolean | null} stable
 * @property {Solver} solver
 * @property {number} solveMs
 * @property {number} predictedMs
 * @property {number} tripMs
 *
 * @typedef {import("./steps-plot.js").Step} Step
 * @typedef {{start: {t: number, probabilities: number[]}, steps: Step[]}} Path
 */

export class ClassifySide {
  /**
   * @param {object} options
   * @param {"A" | "B"} options.letter
   * @param {import("./models.js").Model} options.model
   * @param {import("./models.js").Route} options.route
   * @param {import("./models.js").Row[]} options.rows
   * @param {string[]} options.labels
   * @param {string} options.begin
   * @param {() => void} options.changed
   */
  constructor({ letter, model, route, rows, labels, begin, changed }) {
    this.letter = letter;
    this.model = model;
    this.rows = rows;
    this.changed = changed;
    this.enabled = true;
    this.asked = "";
    /** @type {unknown} */
    this.content = null;
    /** @type {Classification | null} */
    this.answer = null;
    /** @type {Path | null} */
    this.path = null;
    this.requests = new Latest((/** @type {import("./knob.js").Setting} */ setting, signal) => this.#solve(setting, signal));
    this.knob = new Knob({ letter, limits: route.tol, methods: route.methods, mayAuto: rows.length > 0, begin, changed: () => this.#turned() });
    this.label = make("span", { class: "label" }, "–");
    this.sure = make("span", { class: "sure" });
    this.stable = make("span", { class: "badge", hidden: true });
    this.tried = make("span", { class: "note" });
    this.bars = new Bars(labels);
    this.figures = new Figures({
      nfe: ["evaluations (NFE)", "How often the network was run, rejected steps included"],
      steps: ["steps", "Accepted and rejected attempts of the solver"],
      ms: ["solve", "Milliseconds of the server's solver"],
      trip: ["round trip", "Milliseconds from the request to the answer, as this page saw it"],
      estimate: ["error estimate", "Sum of the estimated errors of the steps, in units of the state: no bound"],
      calibrated: ["calibrated p99 error", "99 of 100 calibration inputs were nearer than this to a float64 solve"],
    });
    this.error = make("p", { class: "error", role: "alert", hidden: true });
    this.element = make(
      "article", { class: `side of-${letter}`, "aria-label": `Tolerance ${letter}` },
      this.knob.element,
      make("div", { class: "verdict" }, this.label, make("div", { class: "verdict-text" }, this.sure, this.stable, this.tried)),
      this.error, this.bars.element, this.figures.element,
    );
    this.waiting = new Waiting(this.element);
  }

  /** @param {unknown} content  what was drawn; null for nothing */
  use(content) {
    this.content = content;
    this.#ask();
  }

  /** @param {boolean} on */
  enable(on) {
    if (this.enabled === on) return;
    this.enabled = on;
    this.element.hidden = !on;
    if (on) this.#ask();
  }

  asText() {
    const { tol } = this.knob.setting;
    return tol === "auto" ? tol : plain(tol);
  }

  /** @returns {import("./api.js").Call | null} */
  call() {
    return this.content ? this.#call(this.knob.setting) : null;
  }

  /** Probabilities at every time landed on. */
  moments() {
    if (!this.path) return [];
    const landed = /** @type {(Step & {probabilities: number[]})[]} */ (this.path.steps.filter((step) => step.accepted && step.probabilities));
    return [this.path.start, ...landed].map(({ t, probabilities }) => ({ t, probabilities }));
  }

  /** Where this answer stands on the trade-off. */
  here() {
    if (!this.answer) return null;
    const { method, nfe, rtol, calibrated_error } = this.answer.solver;
    const error = calibrated_error?.p99 ?? calibratedError(this.rows, method, rtol)?.error_p99;
    return error ? { nfe, ms: this.answer.predictedMs, error, method } : null;
  }

  inWords() {
    if (!this.answer) return "";
    const { label, probabilities, stable, solver } = this.answer;
    const sure = probabilities ? percent(Math.max(...probabilities)) : "";
    return `${this.letter}: ${label}, ${sure}, ${stable ? "stable, " : ""}${solver.nfe} evaluations, tolerance ${plain(solver.rtol)}`;
  }

  /** @param {import("./knob.js").Setting} setting */
  #call({ tol, method }) {
    const query = { model: this.model.id, tol: tol === "auto" ? tol : plain(tol), ...(method === "auto" ? {} : { method }) };
    return { path: "classify", query, json: { image: this.content } };
  }

  /** A slider tells of a move twice, while it is held and when it is let go. */
  #turned() {
    if (JSON.stringify(this.knob.setting) !== this.asked) this.#ask();
  }

  #ask() {
    this.asked = JSON.stringify(this.knob.setting);
    if (!this.enabled) return;
    if (!this.content) return this.#clear();
    this.waiting.begin();
    this.requests.ask(this.knob.setting);
  }

  #clear() {
    this.requests.drop();
    this.answer = this.path = null;
    this.#show();
    this.changed();
  }

  /**
   * The answer first, then the way to it.
   * @param {import("./knob.js").Setting} setting
   * @param {AbortSignal} signal
   */
  async #solve(setting, signal) {
    const call = this.#call(setting);
    try {
      const { body, milliseconds: tripMs } = await ask(call, signal);
      this.answer = { ...body.predictions[0], solveMs: body.timing_ms.solve, predictedMs: body.timing_ms.predicted, tripMs };
      this.#show();
      const { rtol, method } = body.predictions[0].solver;
      const watched = { path: "trajectory", query: { model: this.model.id, tol: plain(rtol), method }, json: call.json };
      this.path = (await ask(watched, signal)).body.items[0];
      this.changed();
    } catch (error) {
      if (signal.aborted) return;
      this.answer = this.path = null;
      this.#show(error instanceof ApiError ? error.message : String(error));
      this.changed();
    }
  }

  /** @param {string} [problem] */
  #show(problem = "") {
    this.waiting.end(!this.requests.next);
    this.error.textContent = problem;
    this.error.hidden = !problem;
    const { answer } = this;
    this.bars.show(answer?.probabilities ?? null);
    this.label.textContent = answer?.label ?? "–";
    this.label.classList.toggle("long", (answer?.label ?? "").length > 2);
    this.sure.textContent = answer?.probabilities ? percent(Math.max(...answer.probabilities)) : this.content ? "" : "Draw something";
    this.stable.hidden = answer?.stable === null || answer?.stable === undefined;
    this.stable.classList.toggle("no", !answer?.stable);
    this.stable.textContent = answer?.stable ? "stable" : "not settled";
    this.stable.title = answer?.stable
      ? "The lead of this label exceeds the solver's calibrated error: a tighter tolerance would hardly change it"
      : "The lead of this label is within the solver's calibrated error: a tighter tolerance might change it";
    const tries = answer?.solver.attempts ?? [];
    this.tried.textContent = tries.length ? `tried ${tries.map(({ tol, nfe }) => `${scientific(tol)} (${nfe})`).join(", ")}` : "";
    if (!answer) return this.figures.clear();
    const { solver } = answer;
    this.knob.showFound(solver.rtol);
    const error = solver.calibrated_error;
    this.figures.show({
      nfe: String(solver.nfe),
      steps: `${solver.accepted} ✓  ${solver.rejected} ✕`,
      ms: milliseconds(answer.solveMs),
      trip: milliseconds(answer.tripMs),
      estimate: short(solver.error_estimate),
      calibrated: error ? `${short(error.p99)} ${error.unit}` : "–",
    });
    this.element.dataset.tol = plain(solver.rtol);
  }
}
