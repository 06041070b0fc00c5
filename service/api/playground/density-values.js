/** Log-densities made into colours: of a grid as an image, of points one by one, and their differences. */

import { LESS, MORE, VIRIDIS_TABLE } from "./colormap.js";
import { make } from "./dom.js";

/** Points of a difference count where the density is at least this share of the highest. */
const RELEVANT = 1e-3;
/** The share of differences that the colours tell apart; the rest has the full one. */
const MOST = 0.95;

/**
 * @typedef {ArrayLike<number>} Values  log-densities, NaN where a solve failed
 */

/**
 * The highest finite one.
 * @param {Values[]} all
 */
export function highest(all) {
  let most = -Infinity;
  for (const values of all) {
    for (let index = 0; index < values.length; index++) if (values[index] > most) most = values[index];
  }
  return most;
}

/**
 * A grid as an image, its colours by density relative to the peak. Rows run upwards.
 * @param {Values} values
 * @param {number} size  cells along a side
 * @param {number} peak  log-density of the last colour
 */
export function heatImage(values, size, peak) {
  return imageOf(size, (index) => VIRIDIS_PIXELS[Math.round(255 * Math.exp(Math.min(0, values[index] - peak))) || 0]);
}

/**
 * Where A has more is one colour, where B has more the other.
 * @param {Values} a
 * @param {Values} b
 * @param {number} size
 * @param {number} scale  of the full colour
 * @param {number} peak
 */
export function differenceImage(a, b, size, scale, peak) {
  const [more, less] = [pixelOf(MORE, 0), pixelOf(LESS, 0)];
  return imageOf(size, (index) => {
    const difference = relevantDifference(a[index], b[index], peak);
    return (difference > 0 ? more : less) + OPAQUE * Math.round(255 * Math.min(1, Math.abs(difference) / scale) || 0);
  });
}

/**
 * @param {number} a
 * @param {number} b
 * @param {number} peak
 */
export function relevantDifference(a, b, peak) {
  const counts = Math.max(a, b) > peak + Math.log(RELEVANT);
  return counts ? a - b || 0 : 0;
}

/**
 * How large differences are where there is density: the largest, and what all but a few stay below.
 * @param {Values} a
 * @param {Values} b
 * @param {number} peak
 */
export function sizesOfDifference(a, b, peak) {
  const sizes = Float64Array.from(a, (value, index) => Math.abs(relevantDifference(value, b[index], peak))).filter((size) => size > 0).sort();
  return { largest: sizes.at(-1) ?? 0, usual: sizes[Math.floor(MOST * sizes.length)] ?? 0 };
}

/** What one of 255 steps of opacity adds to a pixel. */
const OPAQUE = 2 ** 24;

/**
 * As image data have it on the machines that browsers run on: least significant byte first.
 * @param {Iterable<number>} colour
 * @param {number} opacity  0 to 255
 */
const pixelOf = ([red, green, blue], opacity) => red + 2 ** 8 * green + 2 ** 16 * blue + OPAQUE * opacity;

const VIRIDIS_PIXELS = Uint32Array.from({ length: 256 }, (_, entry) => pixelOf(VIRIDIS_TABLE.subarray(3 * entry, 3 * entry + 3), 255));

/**
 * @param {number} size
 * @param {(index: number) => number} pixel
 */
function imageOf(size, pixel) {
  const canvas = make("canvas", { width: size, height: size });
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = ctx.createImageData(size, size);
  const pixels = new Uint32Array(image.data.buffer);
  for (let row = 0; row < size; row++) {
    const above = (size - 1 - row) * size;
    for (let column = 0; column < size; column++) pixels[above + column] = pixel(row * size + column);
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

/**
 * The colour of one point.
 * @param {number} value
 * @param {number} low
 * @param {number} high
 */
export function dotColour(value, low, high) {
  const entry = Math.round(255 * Math.min(1, Math.max(0, (value - low) / (high - low || 1))) || 0);
  return `rgb(${VIRIDIS_TABLE[3 * entry]} ${VIRIDIS_TABLE[3 * entry + 1]} ${VIRIDIS_TABLE[3 * entry + 2]})`;
}

/**
 * @param {number} difference
 * @param {number} scale
 */
export function differenceColour(difference, scale) {
  const [red, green, blue] = difference > 0 ? MORE : LESS;
  return `rgb(${red} ${green} ${blue} / ${(0.08 + 0.92 * Math.min(1, Math.abs(difference) / (scale || 1))).toFixed(3)})`;
}

/**
 * A coarse grid out of a fine one whose cells are a third as wide.
 * @param {Values} values
 * @param {number} size  of the fine one
 */
export function everyThird(values, size) {
  const coarse = size / 3;
  return Float64Array.from({ length: coarse * coarse }, (_, index) =>
    values[(3 * Math.floor(index / coarse) + 1) * size + 3 * (index % coarse) + 1]);
}
