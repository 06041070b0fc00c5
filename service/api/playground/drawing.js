/** Drawings as data: strokes and filled outlines in units of the frame, painted at any size and in any colours. */

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
 * The whole picture, as large as it fits.
 * @param {CanvasRenderingContext2D} ctx
 * @param {ImageBitmap} picture
 * @param {number} size
 */
function fit(ctx, picture, size) {
  const scale = size / Math.max(picture.width, picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  ctx.drawImage(picture, (size - width) / 2, (size - height) / 2, width, height);
}
