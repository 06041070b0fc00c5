/** What models say of themselves, and what their calibration tables say of a tolerance. */

import { ask } from "./connection.js";

/**
 * @typedef {{name: string, version: string, task: string, default: boolean, ready: boolean}} Entry
 * @typedef {{tightest: number, loosest: number, default: number}} Limits
 * @typedef {object} Tensor
 * @property {string} name
 * @property {number[]} shape
 * @property {[number, number] | null} range
 * @property {{shows: "ink" | "item", box: number} | null} picture
 *
 * @typedef {object} Route
 * @property {string} program
 * @property {Tensor} input
 * @property {Tensor[]} args
 * @property {Tensor[]} outputs
 * @property {[number, number]} interval
 * @property {string[]} methods
 * @property {Limits} tol
 *
 * @typedef {object} Row  a cell of the calibration table
 * @property {string} program
 * @property {string} method
 * @property {number} tol
 * @property {number} nfe_mean
 * @property {number} nfe_p99
 * @property {number} error_rms
 * @property {number} error_p99
 * @property {string} unit
 * @property {number} predicted_ms
 *
 * @typedef {object} Model
 * @property {string} id  as requests name it
 * @property {string} name
 * @property {string} version
 * @property {string} task
 * @property {string} description
 * @property {number} parameters
 * @property {string[] | null} labels
 * @property {Record<string, Route>} signature  by path
 * @property {Row[]} rows
 */

/** @returns {Promise<(Entry & {id: string})[]>} */
export async function listModels() {
  /** @type {Entry[]} */
  const entries = (await ask({ path: "models" })).body.models;
  return entries.map((entry) => ({ ...entry, id: requestName(entry, entries) }));
}

/**
 * The plain name where there is one version, else with it.
 * @param {Entry} entry
 * @param {Entry[]} entries
 */
function requestName(entry, entries) {
  const alone = entries.filter(({ name }) => name === entry.name).length === 1;
  return alone ? entry.name : `${entry.name}@${entry.version}`;
}

/**
 * @param {string} id
 * @param {AbortSignal} signal
 * @returns {Promise<Model>}
 */
export async function describeModel(id, signal) {
  const path = `models/${encodeURIComponent(id)}`;
  const [manifest, tradeoff] = await Promise.all([
    ask({ path }, signal),
    ask({ path: `${path}/tradeoff` }, signal),
  ]);
  return { ...manifest.body, id, rows: tradeoff.body.rows };
}

/**
 * @param {Model} model
 * @param {string} program
 */
export const rowsOf = (model, program) =>
  model.rows.filter((row) => row.program === program && row.nfe_mean > 0 && row.error_p99 > 0);

/**
 * The p99 error that the table promises: that of the looser row of the method.
 * @param {Row[]} rows
 * @param {string} method
 * @param {number} tol
 */
export function calibratedError(rows, method, tol) {
  const looser = rows.filter((row) => row.method === method && row.tol >= tol * 0.999);
  return looser.length ? looser.reduce((a, b) => (a.tol < b.tol ? a : b)) : null;
}
