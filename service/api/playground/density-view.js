/** A density: where it is high at two tolerances, how they differ, and how samples flow to where they end. */

import { noteState } from "./address.js";
import { announce } from "./announce.js";
import { CurlPanel } from "./curl.js";
import { DensitySide, TYPICAL } from "./density-side.js";
import { differenceColour, differenceImage, dotColour, heatImage, highest, relevantDifference, sizesOfDifference } from "./density-values.js";
import { make } from "./dom.js";
import { Figures } from "./figures.js";
import { Flow } from "./flow.js";
import { scientific, short, times } from "./format.js";
import { beginnings, compareSwitch, disclosure, panel } from "./layout.js";
import { rowsOf } from "./models.js";
import { PlaneMap } from "./plane-map.js";
import { COARSE, boxOf, column, rangeOf, referencePoints } from "./points.js";
import { StepsPlot, TimeAxis, stepsTable } from "./steps-plot.js";
import { TradeoffPlot } from "./tradeoff-plot.js";

/** Stands for the log-density where a coordinate is chosen. */
const LOG_DENSITY = -1;

export class DensityView {
  /** @param {import("./models.js").Model} model */
  constructor(model) {
    this.model = model;
    const route = model.signature["/density"];
    this.dim = route.input.shape.reduce((a, b) => a * b, 1);
    this.flat = this.dim === 2;
    const rows = rowsOf(model, route.program);
    const begin = beginnings(route.tol, rows);
    this.interval = model.signature["/sample"]?.interval ?? route.interval;
    this.sides = /** @type {("A" | "B")[]} */ (["A", "B"]).map(
      (letter) => new DensitySide({ letter, model, rows, begin: begin[letter], changed: () => this.#changed() }));
    /** @type {import("./points.js").Points | null} */
    this.reference = null;
    /** @type {[number, number]} */
    this.across = this.dim === 1 ? [0, LOG_DENSITY] : [0, 1];
    this.seed = 7;
    this.flowOf = 0;
    /** @type {HTMLInputElement[]} */
    this.flowRadios = [];
    /** @type {import("./density-side.js").Item[]} */
    this.flowing = [];
    this.flowSeen = "";
    /** @type {unknown[]} */
    this.shown = [];
    this.asking = new AbortController();
    this.compare = compareSwitch((on) => this.#compared(on));
    this.difference = new PlaneMap("Difference of the log-densities of A and B");
    this.scale = make("span", {}, "–");
    this.figures = new Figures({
      nfe: ["evaluations, B to A", "How many times as many evaluations of the network B took"],
      ms: ["solving time, B to A", "How many times as long B's solve took"],
      largest: ["largest difference", "Of the log-density, in nats, where there is density"],
    });
    this.samples = make("input", { type: "checkbox", checked: true, change: () => this.#changed() });
    this.seedShown = make("span", {}, String(this.seed));
    this.flow = new Flow(this.interval);
    this.flowCost = make("span", {});
    this.strips = { A: new StepsPlot("A"), B: new StepsPlot("B") };
    this.table = disclosure("The steps as numbers", () =>
      stepsTable(Object.fromEntries(this.sides.map((side) => [side.letter, side.enabled ? side.items[0]?.steps ?? [] : []]))));
    this.tradeoff = rows.length ? new TradeoffPlot(rows, (tol, method) => this.sides[0].knob.turn(tol, method)) : null;
    this.curls = { density: new CurlPanel("A log-density from a shell (A)"), sample: new CurlPanel("Samples from a shell (A)") };
    this.element = make("div", { class: "view density" }, ...this.#parts());
    this.#compared(this.compare.on);
    void this.#look();
  }

  leave() {
    this.asking.abort();
    this.flow.pause();
    for (const side of this.sides) side.requests.drop();
  }

  #parts() {
    const [a, b] = this.sides;
    const anew = make("button", { type: "button", class: "quiet", click: () => this.#reseed() }, "New seed");
    return [
      make("section", { class: "answers", "aria-label": "Densities" },
        make("div", { class: "answers-head" },
          make("h2", {}, this.flat ? "Density" : "Samples, coloured by log-density"),
          this.flat ? make("label", { class: "check" }, this.samples, "samples") : "",
          make("span", { class: "seed" }, "seed ", this.seedShown), anew, this.compare.element),
        this.flat ? "" : this.#axesChoice(),
        make("div", { class: "sides maps" }, a.element, b.element,
          make("article", { class: "side apart", "aria-label": "Difference" },
            make("div", { class: "apart-head" },
              make("h3", {}, "A − B"),
              make("p", { class: "note" }, "Difference of the log-density: ", make("span", { class: "more" }, "A higher"), ", ", make("span", { class: "less" }, "B higher"), ". Full colour from ", this.scale, " on.")),
            this.difference.element, this.figures.element))),
      make("div", { class: "why" },
        make("div", { class: "stack" }, panel("The flow along t", "flow-panel",
          make("p", { class: "lead" }, "Each sample begins in a Gaussian and is carried to the data by the field. One of them is drawn with its whole way: a ring wherever the solver landed."),
          make("div", { class: "flow-head" }, this.#flowChoice(), this.flowCost), this.flow.element),
          panel("Ask it yourself", "ask", this.curls.density.element, this.curls.sample.element)),
        make("div", { class: "stack" }, panel("The steps it took", "steps",
          make("p", { class: "lead" }, "Of the ringed sample. Each block is one attempt: as wide as its step, as high as its error; above ", make("i", {}, "tol"), " it is rejected (✕)."),
          this.strips.A.element, this.strips.B.element, new TimeAxis(this.interval, "t, from the Gaussian to the data →").element,
          this.table.element),
        panel("What a tolerance costs", "costs",
          make("p", { class: "lead" }, "Measured when the model was made: error of a log-density against cost, by method. Both axes are logarithmic; down and left is better."),
          this.tradeoff ? make("p", { class: "lead" }, this.#averaged()) : "",
          this.tradeoff?.element ?? make("p", { class: "note" }, "This model carries no calibration table.")))),
    ];
  }

  /** Which coordinates are seen, where there are more than a plane has. */
  #axesChoice() {
    const choice = (/** @type {0 | 1} */ axis) => {
      const select = make("select", { change: () => this.#turn(axis, Number(select.value)) });
      for (let index = 0; index < this.dim; index++) select.append(make("option", { value: index }, `coordinate ${index + 1}`));
      select.append(make("option", { value: LOG_DENSITY }, "log-density"));
      select.value = String(this.across[axis]);
      return make("label", {}, axis ? "up: " : "across: ", select);
    };
    return make("div", { class: "axes-choice" },
      make("p", { class: "lead" }, `This density has ${this.dim} ${this.dim === 1 ? "dimension" : "dimensions"}: there is no plane to lay a map on, so its samples are shown, each with its own log-density.`),
      choice(0), choice(1));
  }

  /** Why the evaluations here are others than those beside the knobs. */
  #averaged() {
    const here = `A and B stand at the mean of ${TYPICAL} samples of the model`;
    return this.flat
      ? `${here}. The evaluations beside the knobs are the mean over all points of the map, most of which lie where there is hardly any data.`
      : `${here}; the evaluations beside the knobs are the mean over all samples shown.`;
  }

  #flowChoice() {
    const group = make("div", { class: "segmented flow-choice", role: "radiogroup", "aria-label": "Tolerance of the flow" });
    this.sides.forEach((side, index) => {
      const radio = make("input", { type: "radio", name: "flow", checked: index === 0, change: () => this.#flowFrom(index) });
      this.flowRadios.push(radio);
      group.append(make("label", { class: `for-${side.letter}` }, radio, make("span", {}, side.letter)));
    });
    return group;
  }

  /** @param {number} index  of the side */
  #flowFrom(index) {
    this.flowOf = index;
    this.flowRadios[index].checked = true;
    this.#showFlow();
  }

  async #look() {
    try {
      this.reference = await referencePoints(this.model, this.seed, this.asking.signal);
    } catch (error) {
      if (this.asking.signal.aborted) return;
      const [a] = this.sides;
      a.error.textContent = error instanceof Error ? error.message : String(error);
      a.error.hidden = false;
      return;
    }
    this.box = this.flat ? this.box ?? boxOf(this.reference) : null;
    for (const side of this.sides) side.look({ box: this.box ?? null, points: this.reference, seed: this.seed });
  }

  #reseed() {
    this.seed = crypto.getRandomValues(new Uint16Array(1))[0];
    this.seedShown.textContent = String(this.seed);
    void this.#look();
  }

  /**
   * @param {0 | 1} axis
   * @param {number} index
   */
  #turn(axis, index) {
    this.across[axis] = index;
    this.#changed();
  }

  /** @param {boolean} on */
  #compared(on) {
    this.element.classList.toggle("single", !on);
    this.sides[1].enable(on);
    if (!on) this.#flowFrom(0);
    this.#changed();
  }

  #changed() {
    const shown = this.sides.filter((side) => side.enabled);
    const known = shown.filter((side) => side.found);
    noteState({ a: this.sides[0].asText(), b: this.sides[1].asText(), compare: this.compare.on ? "" : "no" });
    this.#showMaps(known);
    for (const side of shown) this.strips[side.letter].show(side.items[0]?.steps ?? [], this.interval);
    this.table.refresh();
    this.tradeoff?.show(Object.fromEntries(known.filter((side) => side.here()).map((side) => [side.letter, side.here()])));
    this.#showFlow();
    this.#showCurl();
    if (known.length) announce(() => known.map((side) => side.inWords()).join(". "));
  }

  /**
   * The maps, unless they show all this already.
   * @param {DensitySide[]} known
   */
  #showMaps(known) {
    const shown = [...known.flatMap(({ found, items }) => [found, items]), this.samples.checked, String(this.across)];
    if (shown.length === this.shown.length && shown.every((part, index) => part === this.shown[index])) return;
    this.shown = shown;
    const peak = highest(known.map((side) => side.found?.values ?? []));
    for (const side of known) this.#showMap(side, peak);
    if (known.length === 2) this.#showDifference(peak);
  }

  /**
   * @param {DensitySide} side
   * @param {number} peak
   */
  #showMap(side, peak) {
    const { found } = side;
    if (!found) return;
    side.map.describe(`${this.flat ? "Density" : "Samples"} at ${side.letter}, tolerance ${found.tol}; the highest is ${short(Math.exp(peak))}`);
    if (this.box && found.size) {
      const samples = this.samples.checked ? side.items.map(({ sample: [x, y] }) => /** @type {[number, number]} */ ([x, y])) : [];
      side.map.show(this.box, { image: heatImage(found.values, found.size, peak), samples });
    } else {
      const [low, high] = rangeOf(found.values);
      this.#showDots(side.map, found.values, (value) => dotColour(value, low, high));
    }
  }

  /**
   * @param {PlaneMap} map
   * @param {ArrayLike<number>} values  of the reference points
   * @param {(value: number) => string} colouring
   */
  #showDots(map, values, colouring) {
    const { reference } = this;
    if (!reference || values.length !== reference.count) return;
    const heights = this.sides[0].found?.values ?? values;
    const [xs, ys] = this.across.map((index) => (index === LOG_DENSITY ? heights : column(reference, index)));
    const dots = Array.from(values, (value, index) => ({ x: xs[index], y: ys[index], colour: colouring(value) }));
    map.show({ x: rangeOf(xs), y: rangeOf(ys) }, { dots });
  }

  /** @param {number} peak */
  #showDifference(peak) {
    const [a, b] = this.sides;
    if (!a.found || !b.found) return;
    const fine = a.found.size === b.found.size;
    const [left, right] = fine ? [a.found.values, b.found.values] : [a.coarse(), b.coarse()];
    if (left.length !== right.length) return;
    const counts = this.box ? peak : -Infinity;
    const { largest, usual } = sizesOfDifference(left, right, counts);
    if (this.box) this.difference.show(this.box, { image: differenceImage(left, right, fine ? a.found.size : COARSE, usual, counts) });
    else {
      const differences = Array.from(left, (value, index) => relevantDifference(value, right[index], counts));
      this.#showDots(this.difference, differences, (value) => differenceColour(value, usual));
    }
    this.scale.textContent = `${short(usual)} nats`;
    this.figures.show({
      nfe: times(b.found.nfe / a.found.nfe),
      ms: fine ? times(b.found.solveMs / a.found.solveMs) : "…",
      largest: `${short(largest)} nats`,
    });
  }

  #showFlow() {
    const side = this.sides[this.flowOf];
    const shown = `${this.flowOf} ${this.across}`;
    if (!side.items.length || !this.reference || (this.flowing === side.items && this.flowSeen === shown)) return;
    this.flowing = side.items;
    this.flowSeen = shown;
    const reference = this.reference;
    const across = /** @type {[number, number]} */ (this.across.map((index) => Math.min(index, this.dim - 1)));
    const range = (/** @type {number} */ index) => (index < 0 ? /** @type {[number, number]} */ ([-1, 1]) : rangeOf(column(reference, index)));
    const mean = side.items.reduce((sum, { solver }) => sum + solver.nfe, 0) / side.items.length;
    this.flowCost.textContent = `${side.items.length} samples at ${scientific(side.knob.tol)}, ${short(mean)} evaluations each`;
    this.flow.show(side.items, across, this.box ?? { x: range(across[0]), y: range(across[1]) }, side.letter);
  }

  #showCurl() {
    const [a] = this.sides;
    const query = a.query(a.knob.setting);
    const point = this.reference ? Array.from(this.reference.numbers.slice(0, this.dim), (value) => Number(value.toPrecision(4))) : [];
    this.curls.density.show({ path: "density", query, json: { point } });
    this.curls.sample.show({ path: "sample", query, json: { n: 3, seed: this.seed } });
  }
}
