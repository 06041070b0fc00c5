/** A classifier: draw something, and see what it is taken for at two tolerances, how that came about and what it cost. */

import { noteState } from "./address.js";
import { announce } from "./announce.js";
import { ClassifySide } from "./classify-side.js";
import { CurlPanel } from "./curl.js";
import { make } from "./dom.js";
import { examplesFor } from "./examples.js";
import { percent, times } from "./format.js";
import { rowsOf } from "./models.js";
import { Pad } from "./pad.js";
import { ProbabilityPlot } from "./probability-plot.js";
import { StepsPlot, TimeAxis, stepsTable } from "./steps-plot.js";
import { TradeoffPlot } from "./tradeoff-plot.js";
import { Figures } from "./figures.js";
import { beginnings, compareSwitch, disclosure, panel } from "./layout.js";

const ROUTE = "/classify";

export class ClassifyView {
  /** @param {import("./models.js").Model} model */
  constructor(model) {
    const route = model.signature[ROUTE];
    const labels = model.labels ?? [];
    const rows = rowsOf(model, route.program);
    const begin = beginnings(route.tol, rows);
    this.interval = route.interval;
    this.sides = /** @type {("A" | "B")[]} */ (["A", "B"]).map(
      (letter) => new ClassifySide({ letter, model, route, rows, labels, begin: begin[letter], changed: () => this.#changed() }));
    this.compare = compareSwitch((on) => this.#compared(on));
    const examples = examplesFor(labels);
    this.pad = new Pad(route.input, examples, () => this.#drawn());
    this.difference = new Figures({
      nfe: ["evaluations, B to A", "How many times as many evaluations of the network B took"],
      ms: ["solving time, B to A", "How many times as long B's solve took"],
      probability: ["largest difference", "The largest difference of a class probability between A and B"],
    });
    this.strips = { A: new StepsPlot("A"), B: new StepsPlot("B") };
    this.axis = new TimeAxis(route.interval, "t, the depth of the network →");
    this.probabilities = new ProbabilityPlot(labels, route.interval);
    this.table = disclosure("The steps as numbers", () =>
      stepsTable(Object.fromEntries(this.sides.map((side) => [side.letter, side.enabled ? side.path?.steps ?? [] : []]))));
    this.tradeoff = rows.length ? new TradeoffPlot(rows, (tol, method) => this.sides[0].knob.turn(tol, method)) : null;
    this.curl = new CurlPanel("The same call from a shell (A)");
    this.element = make("div", { class: "view classify" }, ...this.#parts());
    this.#compared(this.compare.on);
    // The most telling one to begin with: of those between two labels the first, else any.
    const first = examples.find(({ label }) => !labels.includes(label)) ?? examples.at(-1);
    if (first) this.pad.use(first.drawing);
    else this.#drawn();
  }

  leave() {
    this.pad.leave();
    for (const side of this.sides) side.requests.drop();
  }

  #parts() {
    const [a, b] = this.sides;
    return [
      make("div", { class: "try" },
        panel("Input", "input", this.pad.element),
        make("section", { class: "answers", "aria-label": "Answers" },
          make("div", { class: "answers-head" }, make("h2", {}, "Answer"), this.compare.element),
          make("div", { class: "sides" }, a.element, b.element),
          make("div", { class: "difference" }, this.difference.element))),
      make("div", { class: "why" },
        panel("The steps it took", "steps",
          make("p", { class: "lead" }, "Each block is one attempt: as wide as its step, as high as its error. Above the line ", make("i", {}, "tol"), " it is rejected (✕) and tried again with a smaller step."),
          this.strips.A.element, this.strips.B.element, this.axis.element,
          make("h3", {}, "Class probabilities on the way"), this.probabilities.element,
          this.table.element),
        panel("What a tolerance costs", "costs",
          make("p", { class: "lead" }, "Measured when the model was made: error of the answer against cost, by method. Both axes are logarithmic; down and left is better."),
          this.tradeoff?.element ?? make("p", { class: "note" }, "This model carries no calibration table."))),
      panel("Ask it yourself", "ask", this.curl.element),
    ];
  }

  #drawn() {
    const content = this.pad.empty ? null : this.pad.content();
    for (const side of this.sides) side.use(content);
  }

  /** @param {boolean} on */
  #compared(on) {
    this.element.classList.toggle("single", !on);
    this.sides[1].enable(on);
    this.#changed();
  }

  /** Something new is known of a side. */
  #changed() {
    const shown = this.sides.filter((side) => side.enabled);
    const known = shown.filter((side) => side.answer);
    noteState({ a: this.sides[0].asText(), b: this.sides[1].asText(), compare: this.compare.on ? "" : "no" });
    this.#showDifference();
    for (const side of shown) this.strips[side.letter].show(side.path?.steps ?? [], this.interval);
    this.probabilities.show(Object.fromEntries(known.filter(({ path }) => path).map((side) => [side.letter, side.moments()])));
    this.table.refresh();
    this.tradeoff?.show(Object.fromEntries(known.filter((side) => side.here()).map((side) => [side.letter, side.here()])));
    const call = this.sides[0].call();
    if (call) this.curl.show(call);
    if (known.length) announce(() => known.map((side) => side.inWords()).join(". "));
  }

  #showDifference() {
    const [a, b] = this.sides.map((side) => side.answer);
    if (!a || !b || !a.probabilities || !b.probabilities || !this.sides[1].enabled) return this.difference.clear();
    const largest = Math.max(...a.probabilities.map((value, index) => Math.abs(value - (b.probabilities?.[index] ?? 0))));
    this.difference.show({
      nfe: times(b.solver.nfe / a.solver.nfe),
      ms: times(b.solveMs / a.solveMs),
      probability: percent(largest),
    });
  }
}

