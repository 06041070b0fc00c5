/** Draw, turn the knob, see what comes of it: everything is computed here. `?model=FILE` shows another classifier. */

import { latest, load, solve } from "./model.js";
import { Pad } from "./pad.js";

const element = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const main = /** @type {HTMLElement} */ (document.querySelector("main"));
const DIGITS = [..."0123456789"];
const POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
/** Milliseconds without a change after which the six tolerances are solved. */
const REST = 200;

/** 0.0032 as 3.2 × 10⁻³. @param {number} tol */
function written(tol) {
  const [factor, exponent] = tol.toExponential(1).split("e");
  const power = `10⁻${[...String(Math.abs(Number(exponent)))].map((digit) => POWERS[Number(digit)]).join("")}`;
  return factor === "1.0" ? power : `${factor} × ${power}`;
}

/** @param {number[]} logits */
function probabilities(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((value) => value / sum);
}

const percent = (/** @type {number} */ value) => `${(100 * value).toFixed(2)} %`;

function make(/** @type {string} */ tag, /** @type {string} */ name = "", /** @type {(Node | string)[]} */ ...inside) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...inside);
  return made;
}

function complain(/** @type {string} */ text) {
  element("notice").textContent = text;
  element("notice").hidden = false;
}

const failed = (/** @type {Error} */ error) => complain(error.message);

async function begin() {
  const file = new URLSearchParams(location.search).get("model") ?? "odenet-mnist.onnx";
  let loaded;
  try {
    loaded = await load(file);
  } catch (error) {
    const command = "odetrain export --single-file checkpoints/odenet-mnist/1 --out examples/browser/odenet-mnist.onnx";
    return complain(`${/** @type {Error} */ (error).message}. The model is made by ${command}, what runs it is fetched by npm install.`);
  }
  const { about, bytes, milliseconds } = loaded;
  if (about.task !== "classify" || String(about.input.shape) !== "28,28" || about.input.dtype !== "float32") {
    return complain(`${about.name}: this page draws for classifiers of 28 × 28 pictures`);
  }
  element("file").textContent = `one ONNX file of ${(bytes / 1e6).toFixed(1)} MB`;
  element("about").textContent =
    `${about.name}, version ${about.version}, ${about.method}. Trained on ${about.provenance.data}, ${about.provenance.date}. ` +
    `Loaded in ${milliseconds.toFixed(0)} ms.`;
  show(about);
}

/** @param {any} about */
function show(about) {
  const { loosest, tightest } = about.tol;
  const decades = Math.round(Math.log10(loosest / tightest));
  const slider = element("tol");
  slider.max = String(10 * decades);
  slider.value = String(Math.round(10 * Math.log10(loosest / about.tol.default)));
  element("loosest").textContent = `${written(loosest)}, fast`;
  element("tightest").textContent = `exact, ${written(tightest)}`;
  // As a person would write it: 3.2e-3, not 0.0031622776601683794. The ends are the limits themselves.
  const tolerance = () => Math.min(Math.max(Number((loosest * 10 ** (-slider.value / 10)).toExponential(1)), tightest), loosest);
  const errorAt = (/** @type {number} */ tol) => {
    const looser = about.calibration?.rows.filter((/** @type {any} */ row) => row.tol >= tol && row.error_p99 !== undefined);
    return looser?.length ? `${Number(looser[0].error_p99.toPrecision(2))} ${about.calibration.unit}` : "–";
  };

  const bars = about.labels.map((/** @type {string} */ label) => {
    const bar = make("span", "bar");
    const value = make("span", "", "–");
    const row = make("li", "", make("span", "", label), make("span", "track", bar), value);
    element("bars").append(row);
    return { bar, value, row };
  });
  const tols = Array.from({ length: decades + 1 }, (_, decade) => Math.max(loosest / 10 ** decade, tightest));
  const rows = tols.map((tol) => {
    const cells = { label: make("td", "", "–"), probability: make("td", "", "–"), nfe: make("span", "", "–"), bar: make("span", "bar") };
    const cost = make("div", "cost best", cells.nfe, make("span", "track", cells.bar));
    element("ladder").append(make("tr", "", make("td", "", written(tol)), cells.label, cells.probability, make("td", "", cost)));
    return cells;
  });

  const answer = latest(async () => {
    const tol = tolerance();
    element("tol-value").textContent = written(tol);
    slider.setAttribute("aria-valuetext", written(tol));
    const [lane] = pad.empty ? [null] : await solve(pad.input, [tol]);
    tell(lane);
    main.dataset.tol = lane ? String(tol) : "";
  }, failed);

  function tell(/** @type {any} */ lane) {
    const ok = lane?.status === "ok";
    const found = ok ? probabilities(lane.answer) : [];
    const best = found.indexOf(Math.max(...found));
    const label = ok ? about.labels[best] : lane ? lane.status : "–";
    element("label").textContent = label;
    element("label").classList.toggle("long", label.length > 2);
    element("nfe").textContent = lane ? String(lane.nfe) : "–";
    element("steps").textContent = lane ? `${lane.accepted + lane.rejected}, ${lane.rejected} rejected` : "–";
    element("ms").textContent = lane ? `${lane.milliseconds.toFixed(1)} ms` : "–";
    element("error").textContent = lane ? errorAt(lane.tol) : "–";
    bars.forEach((/** @type {any} */ { bar, value, row }, /** @type {number} */ place) => {
      bar.style.transform = `scaleX(${found[place] ?? 0})`;
      value.textContent = ok ? percent(found[place]) : "–";
      row.classList.toggle("best", ok && place === best);
    });
  }

  const climb = latest(async () => {
    const lanes = pad.empty ? [] : await solve(pad.input, tols);
    const most = Math.max(...lanes.map((lane) => lane.nfe));
    rows.forEach((cells, place) => {
      const lane = lanes[place];
      const found = lane?.status === "ok" ? probabilities(lane.answer) : null;
      const best = found ? found.indexOf(Math.max(...found)) : -1;
      cells.label.textContent = found ? about.labels[best] : (lane?.status ?? "–");
      cells.probability.textContent = found ? percent(found[best]) : "–";
      cells.nfe.textContent = lane ? String(lane.nfe) : "–";
      cells.bar.style.transform = `scaleX(${lane ? lane.nfe / most : 0})`;
    });
    main.dataset.ladder = lanes.map((lane) => lane.nfe).join(" ");
  }, failed);

  let resting = 0;
  const pad = new Pad(element("pad"), () => {
    seen(pad.input);
    for (const button of element("examples").children) button.setAttribute("aria-pressed", String(pad.given !== null && button.textContent === chosen));
    delete main.dataset.ladder;
    void answer();
    clearTimeout(resting);
    resting = setTimeout(() => void climb(), REST);
  });
  let chosen = "";
  for (const digit of DIGITS) {
    const button = make("button", "", digit);
    button.addEventListener("click", async () => {
      const drawn = await fetched(digit);
      if (!drawn) return button.remove();
      chosen = digit;
      pad.show(drawn);
    });
    element("examples").append(button);
  }
  element("clear").addEventListener("click", () => pad.show(null));
  slider.addEventListener("input", () => void answer());
  // All at once, so that nothing is left to ask for.
  void Promise.all(DIGITS.map(fetched)).then(() => {
    main.setAttribute("aria-busy", "false");
    element("examples").children[7].click();
  });
}

/** @type {Map<string, Promise<Float32Array | null>>} */
const digits = new Map();

/** A drawn digit; null where it is not to be had. @param {string} digit */
function fetched(digit) {
  if (!digits.has(digit)) {
    const drawn = fetch(`../digits/${digit}.json`).then((answer) => answer.json());
    digits.set(digit, drawn.then(({ image }) => Float32Array.from(image.flat())).catch(() => null));
  }
  return /** @type {Promise<Float32Array | null>} */ (digits.get(digit));
}

/** @param {Float32Array} input */
function seen(input) {
  const ctx = element("seen").getContext("2d");
  const pixels = ctx.createImageData(28, 28);
  input.forEach((value, place) => pixels.data.set([255 * value, 255 * value, 255 * value, 255], 4 * place));
  ctx.putImageData(pixels, 0, 0);
}

void begin();
