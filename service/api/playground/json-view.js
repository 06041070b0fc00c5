/** Any other model: its input as JSON to edit, its answer as JSON to read, and the steps between. */

import { noteState } from "./address.js";
import { ApiError } from "./api.js";
import { ask } from "./connection.js";
import { CurlPanel } from "./curl.js";
import { make } from "./dom.js";
import { Figures } from "./figures.js";
import { milliseconds, plain, short } from "./format.js";
import { Knob } from "./knob.js";
import { Latest } from "./latest.js";
import { beginnings, disclosure, panel } from "./layout.js";
import { rowsOf } from "./models.js";
import { StepsPlot, TimeAxis, stepsTable } from "./steps-plot.js";
import { TradeoffPlot } from "./tradeoff-plot.js";

const MOST_SHOWN = 4000;

export class JsonView {
  /**
   * @param {import("./models.js").Model} model
   * @param {string} path  of the route, with a slash
   */
  constructor(model, path) {
    this.model = model;
    this.path = path.slice(1);
    this.route = model.signature[path];
    const rows = rowsOf(model, this.route.program);
    this.requests = new Latest((/** @type {import("./knob.js").Setting} */ setting, signal) => this.#solve(setting, signal));
    this.knob = new Knob({
      letter: "A", limits: this.route.tol, methods: this.route.methods, mayAuto: false,
      begin: beginnings(this.route.tol, rows).A, changed: (setting) => this.requests.ask(setting),
    });
    this.body = make("textarea", { rows: 10, spellcheck: false, "aria-label": "Request body, JSON", input: () => this.requests.ask(this.knob.setting) });
    this.body.value = readable(exampleBody(this.route, this.path));
    this.output = make("pre", { tabindex: 0, role: "region", "aria-label": "Answer" });
    this.error = make("p", { class: "error", role: "alert", hidden: true });
    this.figures = new Figures({
      nfe: ["evaluations (NFE)", "How often the network was run, rejected steps included"],
      steps: ["steps", "Accepted and rejected attempts of the solver"],
      ms: ["solve", "Milliseconds of the server's solver"],
      estimate: ["error estimate", "Sum of the estimated errors of the steps, in units of the state: no bound"],
    });
    this.strip = new StepsPlot("A");
    /** @type {import("./steps-plot.js").Step[]} */
    this.steps = [];
    this.table = disclosure("The steps as numbers", () => stepsTable({ A: this.steps }));
    this.tradeoff = rows.length ? new TradeoffPlot(rows, (tol, method) => this.knob.turn(tol, method)) : null;
    this.curl = new CurlPanel("The same call from a shell");
    this.element = make("div", { class: "view json single" },
      make("div", { class: "why" },
        make("div", { class: "stack" }, panel("Input", "input", make("p", { class: "lead" }, `A body of POST ${path}, to edit: ${described(this.route)}`), this.body, this.error),
          panel("The steps it took", "steps", this.strip.element, new TimeAxis(this.route.interval, "t →").element, this.table.element),
          panel("Ask it yourself", "ask", this.curl.element)),
        make("div", { class: "stack" }, panel("Answer", "answer", make("article", { class: "side of-A", "aria-label": "Tolerance" }, this.knob.element, this.figures.element), this.output),
          panel("What a tolerance costs", "costs", this.tradeoff?.element ?? make("p", { class: "note" }, "This model carries no calibration table.")))));
    this.requests.ask(this.knob.setting);
  }

  leave() {
    this.requests.drop();
  }

  /**
   * @param {import("./knob.js").Setting} setting
   * @param {AbortSignal} signal
   */
  async #solve({ tol, method }, signal) {
    try {
      const json = JSON.parse(this.body.value);
      const query = { model: this.model.id, tol: plain(/** @type {number} */ (tol)), ...(method === "auto" ? {} : { method }) };
      noteState({ a: query.tol });
      const { body } = await ask({ path: this.path, query, json }, signal);
      const [first] = body.predictions;
      this.curl.show({ path: this.path, query, json });
      const text = readable(first);
      this.output.textContent = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)} …` : text;
      const { solver } = first;
      this.figures.show({ nfe: String(solver.nfe), steps: `${solver.accepted} ✓  ${solver.rejected} ✕`, ms: milliseconds(body.timing_ms.solve), estimate: short(solver.error_estimate) });
      const watched = await ask({ path: "trajectory", query, json }, signal);
      this.steps = watched.body.items[0].steps;
      this.strip.show(this.steps, this.route.interval);
      this.table.refresh();
      if (solver.calibrated_error) this.tradeoff?.show({ A: { nfe: solver.nfe, ms: body.timing_ms.predicted, error: solver.calibrated_error.p99, method: solver.method } });
      this.error.hidden = true;
    } catch (error) {
      if (signal.aborted) return;
      this.error.textContent = error instanceof ApiError || error instanceof SyntaxError ? error.message : String(error);
      this.error.hidden = false;
    }
  }
}

/**
 * Numbers in the shapes that the model asks for: the middle of the range, or a half.
 * @param {import("./models.js").Route} route
 * @param {string} path
 */
function exampleBody({ input, args }, path) {
  const name = path === "classify" ? "image" : "input";
  const named = args.filter((tensor) => !("draw" in tensor && tensor.draw));
  const given = Object.fromEntries(named.map((tensor) => [tensor.name, filled(tensor.shape, middle(tensor))]));
  return { [name]: filled(input.shape, middle(input)), ...(named.length ? { args: given } : {}) };
}

/**
 * JSON with the numbers of a vector on one line.
 * @param {unknown} value
 */
const readable = (value) => JSON.stringify(value, null, 2).replace(/\[[-\d.,e\s]*\]/g, (vector) => vector.replace(/\s+/g, " "));

/** @param {import("./models.js").Tensor} tensor */
const middle = ({ range }) => (range ? (range[0] + range[1]) / 2 : 0.5);

/**
 * @param {number[]} shape
 * @param {number} value
 * @returns {any}
 */
const filled = ([size, ...rest], value) => (size === undefined ? value : Array.from({ length: size }, () => filled(rest, value)));

/** @param {import("./models.js").Route} route */
function described({ input, outputs }) {
  const told = (/** @type {import("./models.js").Tensor} */ { name, shape }) => `${name} ${shape.length ? `[${shape.join(", ")}]` : "(a number)"}`;
  return `${told(input)} → ${outputs.map(told).join(", ")}.`;
}
