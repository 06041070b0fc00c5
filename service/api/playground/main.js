/** The page: which models there are, and the view of the one that is chosen. */

import { noteState, readState } from "./address.js";
import { ApiError, currentKey } from "./api.js";
import { ClassifyView } from "./classify-view.js";
import { listenForKey } from "./connection.js";
import { DensityView } from "./density-view.js";
import { byId, make } from "./dom.js";
import { counted } from "./format.js";
import { JsonView } from "./json-view.js";
import { describeModel, listModels } from "./models.js";

const FEW = 8;
/** In this order the models are offered. */
const TASKS = ["classify", "density", "predict"];

/** @type {{element: HTMLElement, leave: () => void} | null} */
let view = null;
let loading = new AbortController();

/** @param {import("./models.js").Model} model */
function viewOf(model) {
  const { signature, labels } = model;
  const image = signature["/classify"]?.input.shape.length === 2;
  if (image && labels) return new ClassifyView(model);
  if (signature["/density"]) return new DensityView(model);
  const path = ["/predict", "/classify"].find((route) => route in signature);
  return path ? new JsonView(model, path) : null;
}

/** @param {string} id */
async function show(id) {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const place = byId("view");
  place.setAttribute("aria-busy", "true");
  try {
    const model = await describeModel(id, signal);
    view?.leave();
    noteState({ model: id });
    byId("about-model").replaceChildren(...about(model));
    view = viewOf(model);
    place.replaceChildren(view?.element ?? make("p", { class: "error" }, `${model.name} answers none of the routes that this page shows.`));
  } catch (error) {
    if (signal.aborted) return;
    complain(error);
  } finally {
    if (!signal.aborted) place.removeAttribute("aria-busy");
  }
}

/**
 * @param {import("./models.js").Model} model
 * @returns {(Node | string)[]}
 */
function about(model) {
  const words = `${model.name} ${model.version}: ${model.description || `task ${model.task}`}, ${counted(model.parameters, "parameter")}`;
  // A link brings no key.
  if (currentKey()) return [words, "."];
  return [words, "; ", make("a", { href: `models/${encodeURIComponent(model.id)}` }, "its manifest"), "."];
}

/** @param {unknown} error */
function complain(error) {
  const message = error instanceof ApiError ? error.message : String(error);
  byId("view").replaceChildren(make("p", { class: "error", role: "alert" }, message));
}

/** @param {(import("./models.js").Entry & {id: string})[]} entries */
function choice(entries) {
  const wanted = readState().model;
  const known = entries.find(({ id }) => id === wanted);
  const begin = known ?? entries.find((entry) => entry.default && entry.task === "classify") ?? entries.find((entry) => entry.default) ?? entries[0];
  if (entries.length > FEW) {
    const select = make("select", { "aria-label": "Model", change: () => void show(select.value) });
    for (const { id } of entries) select.append(make("option", { value: id, selected: id === begin.id }, id));
    byId("models").replaceChildren(select);
  } else {
    byId("models").replaceChildren(...[...entries].sort((a, b) => TASKS.indexOf(a.task) - TASKS.indexOf(b.task)).map(({ id, task }) => {
      const radio = make("input", { type: "radio", name: "model", value: id, checked: id === begin.id, change: () => void show(id) });
      return make("label", { title: `task: ${task}` }, radio, make("span", {}, id));
    }));
  }
  void show(begin.id);
}

listenForKey();
// Somebody has changed the address by hand; what the page notes there itself makes no such event.
addEventListener("hashchange", () => location.reload());
try {
  const entries = await listModels();
  if (entries.length) choice(entries);
  else complain("this server has no model");
} catch (error) {
  complain(error);
}
