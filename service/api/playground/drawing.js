/** Drawings as data: strokes and filled outlines in units of the frame, painted at any size and in any colours. */

import { make } from "./dom.js";

/** Pixels along the side of a small copy whose rim tells the colour of a picture's edge. */
const EDGE = 32;

/**
 * @typedef {[number, number]} Point  in 0..1, from the top left
 * @typedef {{points: Point[], width: number}} Stroke
 * @typedef {{points: Point[], shade: number}} Shape  shade 0..1: how much it stands out
 * @typedef {{strokes: Stroke[], shapes: Shape[], picture: ImageBitmap | null}} Drawing
 */

/** @returns {Drawing} */
export const empty = () => ({ strokes: [], shapes: [], picture: null });

/**
 * Whether there is nothing to be recognised: a dot where a pen has been set down is not yet something.
 * @param {Drawing} drawing
 */
export const isEmpty = ({ strokes, shapes, picture }) => strokes.every(({ points }) => points.length < 2) && !shapes.length && !picture;

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Drawing} drawing
 * @param {{ink: string, ground: string, shade: (shade: number) => string}} colours
 */
export function paint(ctx, drawing, { ink, ground, shade }) {
  const size = ctx.canvas.width;
  ctx.fillStyle = ground;
  ctx.fillRect(0, 0, size, size);
  if (drawing.picture) fit(ctx, drawing.picture, size);
  for (const shape of drawing.shapes) {
    ctx.fillStyle = shade(shape.shade);
    ctx.beginPath();
    for (const [x, y] of shape.points) ctx.lineTo(x * size, y * size);
    ctx.fill();
  }
  ctx.strokeStyle = ink;
  ctx.lineCap = ctx.lineJoin = "round";
  for (const { points, width } of drawing.strokes) {
    ctx.lineWidth = width * size;
    ctx.beginPath();
    ctx.moveTo(points[0][0] * size, points[0][1] * size);
    // A dot is a line of no length, which browsers paint for a round cap.
    for (const [x, y] of points) ctx.lineTo(x * size, y * size);
    ctx.stroke();
  }
}

/**
 * The whole picture, as large as it fits. What it leaves free has the colour of its edge: a border in another one would
 * be taken for something drawn.
 * @param {CanvasRenderingContext2D} ctx
 * @param {ImageBitmap} picture
 * @param {number} size
 */
function fit(ctx, picture, size) {
  const scale = size / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  if (width !== height) {
    ctx.fillStyle = edgeColour(picture);
    ctx.fillRect(0, 0, size, (size - height) / 2);
    ctx.fillRect(0, (size + height) / 2, size, (size - height) / 2);
    ctx.fillRect(0, 0, (size - width) / 2, size);
    ctx.fillRect((size + width) / 2, 0, (size - width) / 2, size);
  }
  ctx.drawImage(picture, (size - width) / 2, (size - height) / 2, width, height);
}

/** @type {WeakMap<ImageBitmap, string>} */
const edges = new WeakMap();

/**
 * What most of a picture's edge looks like: the median of each channel.
 * @param {ImageBitmap} picture
 */
function edgeColour(picture) {
  const known = edges.get(picture);
  if (known) return known;
  const canvas = make("canvas", { width: EDGE, height: EDGE });
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.drawImage(picture, 0, 0, EDGE, EDGE);
  const { data } = ctx.getImageData(0, 0, EDGE, EDGE);
  const onEdge = (/** @type {number} */ at) => [0, EDGE - 1].includes(at % EDGE) || [0, EDGE - 1].includes(Math.floor(at / EDGE));
  const places = Array.from({ length: EDGE * EDGE }, (_, at) => at).filter(onEdge);
  const [red, green, blue, alpha] = [0, 1, 2, 3].map((channel) => {
    const values = places.map((at) => data[4 * at + channel]).sort((a, b) => a - b);
    return values[values.length >> 1];
  });
  const found = `rgb(${red} ${green} ${blue} / ${alpha / 255})`;
  edges.set(picture, found);
  return found;
}

/**
 * A picture by itself, in its own proportions.
 * @param {ImageBitmap} picture
 * @param {number} most  pixels of its longer side
 * @param {string} ground  behind what is transparent
 */
export function alone(picture, most, ground) {
  const scale = Math.min(1, most / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((length) => Math.max(1, Math.round(length * scale)));
  const canvas = make("canvas", { width, height });
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.fillStyle = ground;
  ctx.fillRect(0, 0, width, height);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(picture, 0, 0, width, height);
  return canvas;
}
