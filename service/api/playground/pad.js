/** A place to draw on, by mouse, finger, pen or keyboard, which also takes pictures and examples. */

import { make, newId } from "./dom.js";
import { alone, empty, isEmpty, paint } from "./drawing.js";
import { colour, onThemeChange } from "./theme.js";

/**
 * @typedef {import("./drawing.js").Drawing} Drawing
 * @typedef {import("./drawing.js").Point} Point
 * @typedef {import("./models.js").Tensor} Tensor
 */

const SIZE = 448;
const SENT = 112;
const MOST_PICTURE = 512;
/** Pixels of an input that is 28 wide, as fractions of the side. */
const PEN = 2.6 / 28;
const KEY_STEP = 1 / 28;
const MOVES = /** @type {Record<string, Point>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });

export class Pad {
  /**
   * @param {Tensor} input  what the model takes
   * @param {{label: string, drawing: Drawing}[]} examples
   * @param {() => void} changed
   */
  constructor(input, examples, changed) {
    this.input = input;
    this.changed = changed;
    this.drawing = empty();
    /** Of the keyboard; what mouse, finger and pen do is told by their own number. */
    this.penDown = false;
    /** @type {number | null} */
    this.pointer = null;
    /** @type {Point} */
    this.cursor = [0.5, 0.5];
    this.things = input.picture?.shows === "item";
    const help = newId();
    this.canvas = make("canvas", {
      width: SIZE, height: SIZE, tabindex: 0, role: "application", class: "pad",
      "aria-label": "Drawing area", "aria-describedby": help,
      pointerdown: (event) => this.#begin(event), pointermove: (event) => this.#go(event),
      pointerup: (event) => this.#end(event), pointercancel: (event) => this.#end(event),
      keydown: (event) => this.#type(event), focus: () => this.#repaint(), blur: () => this.#lift(),
    });
    this.said = make("span", { class: "sr", "aria-live": "polite" });
    this.file = make("input", { type: "file", accept: "image/png,image/jpeg", hidden: true, change: () => this.#take(this.file.files?.[0]) });
    this.problem = make("p", { class: "error", role: "alert", hidden: true });
    const button = (/** @type {string} */ text, /** @type {() => void} */ click) => make("button", { type: "button", class: "quiet", click }, text);
    this.element = make(
      "div", { class: "pad-box" },
      make("div", { class: "pad-frame", dragover: (event) => event.preventDefault(), drop: (event) => this.#drop(event) }, this.canvas),
      make("div", { class: "row" }, button("Undo", () => this.#undo()), button("Clear", () => this.use(empty())), button("Use a picture …", () => this.file.click()), this.file),
      this.#row(examples), this.problem, this.said,
      make("p", { class: "note", id: help },
        "Draw, or paste or drop a picture. By keyboard: arrows move the pen (Shift: further), space lowers and lifts it, Delete clears."),
    );
    this.onPaste = (/** @type {ClipboardEvent} */ event) => this.#take([...(event.clipboardData?.files ?? [])][0]);
    document.addEventListener("paste", this.onPaste);
    onThemeChange(() => this.#repaint());
    this.#repaint();
  }

  /** The page shows another model now. */
  leave() {
    document.removeEventListener("paste", this.onPaste);
  }

  get empty() {
    return isEmpty(this.drawing);
  }

  /** @param {Drawing} drawing */
  use(drawing) {
    this.problem.hidden = true;
    this.penDown = false;
    this.pointer = null;
    this.drawing = { ...drawing, strokes: [...drawing.strokes] };
    this.#repaint();
    this.changed();
  }

  /**
   * What is drawn, as the API takes it: a picture where the model says how one becomes its input, else numbers.
   * @returns {{b64: string} | number[][]}
   */
  content() {
    const { picture, strokes, shapes } = this.drawing;
    if (picture && this.input.picture) {
      const untouched = !strokes.length && !shapes.length;
      const canvas = untouched ? alone(picture, MOST_PICTURE, this.#sentColours().ground) : this.#painted(MOST_PICTURE, MOST_PICTURE);
      return encoded(canvas.toDataURL("image/jpeg", 0.92));
    }
    if (this.input.picture) return encoded(this.#painted(SENT, SENT).toDataURL("image/png"));
    const [height, width] = this.input.shape;
    const ctx = /** @type {CanvasRenderingContext2D} */ (this.#painted(width, height).getContext("2d"));
    const [low, high] = this.input.range ?? [0, 1];
    const { data } = ctx.getImageData(0, 0, width, height);
    return Array.from({ length: height }, (_, row) =>
      Array.from({ length: width }, (_, column) => Number((low + ((high - low) * data[4 * (row * width + column)]) / 255).toFixed(4))));
  }

  /**
   * @param {number} width
   * @param {number} height
   */
  #painted(width, height) {
    const canvas = make("canvas", { width, height });
    paint(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), this.drawing, this.#sentColours());
    return canvas;
  }

  /** Ink is dark on paper, things are lit before a dark ground, and numbers are largest where there is ink. */
  #sentColours() {
    const onPaper = this.input.picture?.shows === "ink";
    return { ink: onPaper ? "#000" : "#fff", ground: onPaper ? "#fff" : "#000", shade: greyOf };
  }

  #repaint() {
    const ctx = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const colours = this.things ? this.#sentColours() : { ink: colour("ink"), ground: colour("pad"), shade: () => colour("ink") };
    paint(ctx, this.drawing, colours);
    if (document.activeElement === this.canvas && this.canvas.matches(":focus-visible")) this.#paintCursor(ctx);
  }

  /** @param {CanvasRenderingContext2D} ctx */
  #paintCursor(ctx) {
    const [x, y] = [this.cursor[0] * SIZE, this.cursor[1] * SIZE];
    ctx.strokeStyle = colour("A");
    ctx.lineWidth = this.penDown ? 5 : 2.5;
    ctx.beginPath();
    ctx.arc(x, y, (PEN * SIZE) / 2, 0, 7);
    ctx.moveTo(x - 30, y);
    ctx.lineTo(x + 30, y);
    ctx.moveTo(x, y - 30);
    ctx.lineTo(x, y + 30);
    ctx.stroke();
  }

  /** @param {PointerEvent} event */
  #begin(event) {
    if (event.button || this.pointer !== null) return;
    this.#lift();
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.#start(this.#place(event));
  }

  /** @param {PointerEvent} event */
  #go(event) {
    if (event.pointerId !== this.pointer) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const one of passed.length ? passed : [event]) this.#extend(this.#place(one));
    this.#repaint();
    this.changed();
  }

  /** @param {PointerEvent} event */
  #end(event) {
    if (event.pointerId === this.pointer) this.pointer = null;
  }

  /**
   * @param {PointerEvent} event
   * @returns {Point}
   */
  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  /** @param {Point} point */
  #start(point) {
    this.problem.hidden = true;
    this.drawing.strokes.push({ points: [point], width: PEN });
    this.#repaint();
    this.changed();
  }

  /** @param {Point} point */
  #extend(point) {
    this.drawing.strokes.at(-1)?.points.push(point);
  }

  /** @param {KeyboardEvent} event */
  #type(event) {
    const move = MOVES[event.key];
    if (move) this.#step(move, event.shiftKey ? 4 : 1);
    else if (event.key === " ") this.#togglePen();
    else if (event.key === "Escape") this.#lift();
    else if (event.key === "Delete" || event.key === "Backspace") this.use(empty());
    else return;
    event.preventDefault();
    this.#repaint();
  }

  /**
   * @param {Point} move
   * @param {number} size
   */
  #step([dx, dy], size) {
    const clipped = (/** @type {number} */ value) => Math.min(1, Math.max(0, value));
    this.cursor = [clipped(this.cursor[0] + dx * size * KEY_STEP), clipped(this.cursor[1] + dy * size * KEY_STEP)];
    if (!this.penDown) return;
    this.#extend(this.cursor);
    this.changed();
  }

  #togglePen() {
    if (this.pointer !== null) return;
    this.penDown = !this.penDown;
    this.said.textContent = this.penDown ? "Pen down" : "Pen up";
    if (this.penDown) this.#start(this.cursor);
  }

  #lift() {
    if (this.penDown) this.said.textContent = "Pen up";
    this.penDown = false;
    this.#repaint();
  }

  #undo() {
    this.use({ ...this.drawing, strokes: this.drawing.strokes.slice(0, -1) });
  }

  /** @param {DragEvent} event */
  #drop(event) {
    event.preventDefault();
    void this.#take(event.dataTransfer?.files[0]);
  }

  /** @param {File | undefined} file */
  async #take(file) {
    if (!file) return;
    try {
      this.use({ ...empty(), picture: await createImageBitmap(file) });
    } catch {
      this.problem.textContent = `${file.name || "That"} is no picture that this browser can read.`;
      this.problem.hidden = false;
    }
    this.file.value = "";
  }

  /** @param {{label: string, drawing: Drawing}[]} examples */
  #row(examples) {
    const row = make("div", { class: "examples", role: "group", "aria-label": "Examples" });
    for (const { label, drawing } of examples) {
      const canvas = make("canvas", { width: 56, height: 56, "aria-hidden": "true" });
      const button = make("button", { type: "button", "aria-label": `Example: ${label}`, title: label, click: () => this.use(drawing) }, canvas);
      const show = () => paint(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), drawing,
        this.things ? this.#sentColours() : { ink: colour("ink"), ground: colour("pad"), shade: greyOf });
      show();
      onThemeChange(show);
      row.append(button);
    }
    return row;
  }
}

/** @param {number} shade */
function greyOf(shade) {
  const level = Math.round(255 * shade);
  return `rgb(${level} ${level} ${level})`;
}

/**
 * As the API takes a picture.
 * @param {string} address  with the data in it
 */
const encoded = (address) => ({ b64: address.slice(address.indexOf(",") + 1) });
