/** Where a density is looked at: on a grid of the plane, or at samples where there is no plane to lay a grid on. */

import { ask } from "./connection.js";
import { encode, decode } from "./npy.js";
import { squared } from "./plane-map.js";

/** Cells along a side: at once while a knob turns, and when it rests. The fine ones are thirds of the coarse ones. */
export const COARSE = 24;
export const FINE = 72;
const REFERENCE = 600;
const MARGIN = 0.2;
const OUTER = 0.01;

/**
 * @typedef {import("./plane-map.js").Box} Box
 * @typedef {{numbers: Float32Array | Float64Array, count: number, dim: number}} Points
 */

/**
 * Samples at the model's default tolerance: they say where the density is.
 * @param {import("./models.js").Model} model
 * @param {number} seed
 * @param {AbortSignal} signal
 * @returns {Promise<Points>}
 */
export async function referencePoints(model, seed, signal) {
  const call = { path: "sample", query: { model: model.id }, json: { n: REFERENCE, seed }, accept: "application/x-npy" };
  const { shape, numbers } = decode((await ask(call, signal)).body);
  return { numbers, count: shape[0], dim: numbers.length / shape[0] };
}

/**
 * @param {Points} points
 * @param {number} index  of a coordinate
 */
export const column = ({ numbers, count, dim }, index) =>
  Float64Array.from({ length: count }, (_, row) => numbers[row * dim + index]);

/**
 * A range with room around all but the outermost values.
 * @param {ArrayLike<number>} values
 * @returns {[number, number]}
 */
export function rangeOf(values) {
  const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
  const at = (/** @type {number} */ part) => sorted[Math.round(part * (sorted.length - 1))] ?? 0;
  const [low, high] = [at(OUTER), at(1 - OUTER)];
  const room = MARGIN * (high - low) || 1;
  return [low - room, high + room];
}

/**
 * @param {Points} points  in two dimensions
 * @returns {Box}
 */
export const boxOf = (points) => squared({ x: rangeOf(column(points, 0)), y: rangeOf(column(points, 1)) });

/**
 * Centres of the cells of a box, rows upwards.
 * @param {Box} box
 * @param {number} size  cells along a side
 * @returns {Points}
 */
export function gridOf({ x: [x0, x1], y: [y0, y1] }, size) {
  const numbers = new Float32Array(2 * size * size);
  for (let row = 0; row < size; row++) {
    for (let cell = 0; cell < size; cell++) {
      numbers[2 * (row * size + cell)] = x0 + ((cell + 0.5) / size) * (x1 - x0);
      numbers[2 * (row * size + cell) + 1] = y0 + ((row + 0.5) / size) * (y1 - y0);
    }
  }
  return { numbers, count: size * size, dim: 2 };
}

/**
 * @param {Points} points
 * @param {number[]} shape  of one input
 */
export const asNpy = ({ numbers, count }, shape) => encode(numbers, [count, ...shape]);
