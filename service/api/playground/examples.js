/** Drawings to begin with, by the label that they are meant to get; those are offered whose label a model has. */

/** @typedef {import("./drawing.js").Drawing} Drawing */

const FRAME = 28;
const PEN = 2.6;

/**
 * Points of an ellipse from one angle to another, in degrees, clockwise from the right.
 * @param {number} cx
 * @param {number} cy
 * @param {number} rx
 * @param {number} ry
 * @param {number} from
 * @param {number} to
 */
function arc(cx, cy, rx, ry, from, to) {
  return Array.from({ length: 25 }, (_, index) => {
    const angle = ((from + ((to - from) * index) / 24) * Math.PI) / 180;
    return [cx + rx * Math.cos(angle), cy + ry * Math.sin(angle)];
  });
}

/** @type {Record<string, number[][][]>} */
const STROKES = {
  0: [arc(14, 14, 6, 9, -80, 280)],
  1: [[[11, 8], [14.5, 5], [14, 23]]],
  2: [[...arc(14, 10, 5.5, 5, 190, 385), [8.5, 22.5], [20, 22]]],
  3: [[...arc(13.5, 9.5, 5, 4.5, 200, 440), ...arc(13.5, 18.5, 5.5, 5, 275, 510)]],
  4: [[[11, 5], [8.5, 14.5], [19, 14]], [[18, 6], [16.5, 23]]],
  5: [[[19, 5.5], [10.5, 5.5], [9.5, 13], ...arc(13.5, 17.5, 5.5, 5, 225, 510)]],
  6: [[[17, 5], [11, 11], ...arc(14, 18, 5, 5, 200, 560)]],
  7: [[[8, 6], [20, 6], [12.5, 23]]],
  8: [arc(14, 9.5, 4.3, 4.5, 90, 450), arc(14, 18.5, 5, 4.7, -90, 270)],
  9: [[...arc(14, 10, 4.8, 5, 0, 360), [18.8, 10], [17, 23]]],
};

/** Drawings that lie between two labels: there a loose solve may come to one, and a tight one to the other. */
const BETWEEN = [
  { labels: ["4", "9"], strokes: [[[14.406, 5], [11, 5.5], [8.5, 13.5], [18, 13.5]], [[18.5, 5], [16.5, 23]]] },
  { labels: ["1", "7"], strokes: [[[11.15, 6], [14.5, 5.5], [13, 23]]] },
];

/** Garments as a shop shows them: outlines with their shades. @type {Record<string, [number, number[][]][]>} */
const SHAPES = {
  "T-shirt/top": [[0.75, [[4, 6], [10, 3], [12, 4.6], [16, 4.6], [18, 3], [24, 6], [27, 12], [22.5, 14], [21, 11], [21, 25], [7, 25], [7, 11], [5.5, 14], [1, 12]]]],
  Trouser: [[0.7, [[9, 1.5], [19, 1.5], [20.5, 26.5], [15.5, 26.5], [14, 9], [12.5, 26.5], [7.5, 26.5]]]],
  Pullover: [[0.65, [[9, 3], [12, 4.4], [16, 4.4], [19, 3], [24, 7], [27, 23], [23.2, 24.5], [21, 13], [21, 25], [7, 25], [7, 13], [4.8, 24.5], [1, 23], [4, 7]]]],
  Dress: [[0.7, [[11, 1.5], [12.5, 5], [15.5, 5], [17, 1.5], [17.5, 9], [16.6, 13], [19, 26.5], [9, 26.5], [11.4, 13], [10.5, 9]]]],
  Sandal: [
    [0.8, [[1.5, 20], [8, 19.5], [26, 15], [26.8, 17], [26.8, 22.5], [25.6, 22.5], [25, 18.4], [9, 22], [1.5, 21.8]]],
    [0.7, [[6, 19.6], [10, 14.4], [12, 14.4], [9.4, 19.4]]],
    [0.7, [[18, 17], [22, 8.6], [23.4, 8.6], [24.6, 15.4], [23.2, 15.8], [22.4, 11.4], [19.8, 16.8]]],
  ],
  Sneaker: [
    [0.75, [[26.5, 14], [23.5, 15], [19, 14.4], [15, 12.4], [10, 16], [3, 18], [1.4, 20.4], [26.5, 20.4]]],
    [0.35, [[26.5, 20.4], [1.4, 20.4], [1.6, 22.4], [26.4, 22.4]]],
  ],
  Bag: [
    [0.7, [[2.5, 11], [25.5, 11], [26.5, 25], [1.5, 25]]],
    [0.5, [[8, 11], [9, 4], [19, 4], [20, 11], [18.4, 11], [17.6, 5.6], [10.4, 5.6], [9.6, 11]]],
  ],
  "Ankle boot": [
    [0.75, [[23, 3], [14, 3], [13.4, 11], [9, 14.4], [2.4, 16.6], [1.4, 20], [1.4, 23.4], [18, 23.4], [18.6, 21.6], [19.4, 23.4], [24, 23.4]]],
  ],
};

/** @param {number[]} point */
const scaled = ([x, y]) => /** @type {[number, number]} */ ([x / FRAME, y / FRAME]);

/**
 * @param {string[]} labels
 * @returns {{label: string, drawing: Drawing}[]}
 */
export function examplesFor(labels) {
  const plain = labels.filter((label) => label in STROKES || label in SHAPES);
  const between = BETWEEN.filter((example) => example.labels.every((label) => labels.includes(label)));
  return [
    ...plain.map((label) => ({ label, drawing: drawn(STROKES[label] ?? [], SHAPES[label] ?? []) })),
    ...between.map((example) => ({ label: `between ${example.labels.join(" and ")}`, drawing: drawn(example.strokes, []) })),
  ];
}

/**
 * @param {number[][][]} strokes
 * @param {[number, number[][]][]} shapes
 * @returns {Drawing}
 */
const drawn = (strokes, shapes) => ({
  strokes: strokes.map((points) => ({ points: points.map(scaled), width: PEN / FRAME })),
  shapes: shapes.map(([shade, points]) => ({ points: points.map(scaled), shade })),
  picture: null,
});
