/** A place to draw on, and what is drawn there as MNIST has it: 20 pixels high or wide, its mass in the middle of 28. */

const SIDE = 28;
const BOX = 20;
const PEN = 2.4;
/** Small squares a pixel is averaged from. */
const FINE = 10;

/** @typedef {[number, number][]} Stroke  points from 0 to 1 */

export class Pad {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => void} changed
   */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    /** @type {Stroke[]} */
    this.strokes = [];
    /** @type {Float32Array | null} */
    this.given = null;
    canvas.addEventListener("pointerdown", (event) => this.#begin(event));
    canvas.addEventListener("pointermove", (event) => this.#go(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#paint());
  }

  /** Shows numbers instead of strokes. @param {Float32Array | null} input */
  show(input) {
    this.given = input;
    this.strokes = [];
    this.#paint();
    this.changed();
  }

  /** What is there as the network takes it. @returns {Float32Array} */
  get input() {
    return this.given ?? rasterised(this.strokes);
  }

  get empty() {
    return !this.given && !this.strokes.length;
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.button) return;
    event.preventDefault();
    this.canvas.setPointerCapture(event.pointerId);
    this.given = null;
    this.strokes.push([this.#point(event)]);
    this.#paint();
    this.changed();
  }

  /** @param {PointerEvent} event */
  #go(event) {
    if (!this.canvas.hasPointerCapture(event.pointerId) || !this.strokes.length) return;
    this.strokes[this.strokes.length - 1].push(...(event.getCoalescedEvents?.() ?? [event]).map((one) => this.#point(one)));
    this.#paint();
    this.changed();
  }

  /** @param {PointerEvent} event @returns {[number, number]} */
  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.x) / box.width, (event.clientY - box.y) / box.height];
  }

  #paint() {
    const ctx = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const { width } = this.canvas;
    const ink = getComputedStyle(this.canvas).color;
    ctx.clearRect(0, 0, width, width);
    ctx.fillStyle = ctx.strokeStyle = ink;
    if (this.given) {
      const size = width / SIDE;
      this.given.forEach((value, place) => {
        ctx.globalAlpha = value;
        ctx.fillRect((place % SIDE) * size, Math.floor(place / SIDE) * size, size, size);
      });
      ctx.globalAlpha = 1;
    } else {
      trace(ctx, this.strokes, (x) => x * width, (y) => y * width, (PEN / SIDE) * width);
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {Stroke[]} strokes
 * @param {(x: number) => number} across
 * @param {(y: number) => number} down
 * @param {number} width
 */
function trace(ctx, strokes, across, down, width) {
  ctx.lineWidth = width;
  ctx.lineCap = ctx.lineJoin = "round";
  for (const stroke of strokes) {
    ctx.beginPath();
    // A dot is a line too, of no length.
    ctx.moveTo(across(stroke[0][0]), down(stroke[0][1]));
    for (const [x, y] of stroke) ctx.lineTo(across(x), down(y));
    ctx.stroke();
  }
}

/** @param {Stroke[]} strokes */
function rasterised(strokes) {
  const input = new Float32Array(SIDE * SIDE);
  const points = strokes.flat();
  if (!points.length) return input;
  const [left, top] = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
  const [right, bottom] = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
  // A dot stays a dot.
  const scale = ((BOX - PEN) * FINE) / Math.max(right - left, bottom - top, 0.1);
  const middle = (SIDE * FINE) / 2;
  const first = painted(strokes, scale, middle - (scale * (left + right)) / 2, middle - (scale * (top + bottom)) / 2);
  const [x, y] = centreOfMass(first);
  const shiftX = 2 * middle - x - (scale * (left + right)) / 2;
  const shiftY = 2 * middle - y - (scale * (top + bottom)) / 2;
  const fine = painted(strokes, scale, shiftX, shiftY);
  const width = SIDE * FINE;
  fine.forEach((value, place) => {
    input[Math.floor(place / width / FINE) * SIDE + Math.floor((place % width) / FINE)] += value / (255 * FINE * FINE);
  });
  return input.map((value) => Math.min(value, 1));
}

/**
 * How much ink is where, from 0 to 255.
 * @param {Stroke[]} strokes
 * @param {number} scale
 * @param {number} left
 * @param {number} top
 */
function painted(strokes, scale, left, top) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE * FINE;
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
  trace(ctx, strokes, (x) => left + scale * x, (y) => top + scale * y, PEN * FINE);
  const { data } = ctx.getImageData(0, 0, canvas.width, canvas.height);
  return Uint8Array.from({ length: data.length / 4 }, (_, place) => data[4 * place + 3]);
}

/** @param {Uint8Array} ink @returns {[number, number]} */
function centreOfMass(ink) {
  const width = SIDE * FINE;
  let [mass, x, y] = [0, 0, 0];
  ink.forEach((value, place) => {
    mass += value;
    x += value * ((place % width) + 0.5);
    y += value * (Math.floor(place / width) + 0.5);
  });
  return [x / mass, y / mass];
}
