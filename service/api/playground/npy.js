/** Arrays in NumPy's file format: points go out and numbers come in without a word of JSON. */

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0];
const ALIGNED = 64;

/**
 * @param {Float32Array | Float64Array} numbers  in C order
 * @param {number[]} shape
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function encode(numbers, shape) {
  const dtype = numbers instanceof Float64Array ? "<f8" : "<f4";
  const tuple = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '${dtype}', 'fortran_order': False, 'shape': (${tuple}), }`;
  const start = Math.ceil((MAGIC.length + 2 + text.length + 1) / ALIGNED) * ALIGNED;
  const file = new Uint8Array(start + numbers.byteLength);
  const length = start - MAGIC.length - 2;
  file.set(MAGIC);
  file.set([length & 255, length >> 8], MAGIC.length);
  file.set(new TextEncoder().encode(`${text.padEnd(length - 1)}\n`), MAGIC.length + 2);
  file.set(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength), start);
  return file;
}

/**
 * @param {ArrayBuffer} file
 * @returns {{shape: number[], numbers: Float32Array | Float64Array}}
 */
export function decode(file) {
  const view = new DataView(file);
  const start = MAGIC.length + 2;
  const length = view.getUint16(MAGIC.length, true);
  const header = new TextDecoder("latin1").decode(new Uint8Array(file, start, length));
  const dtype = header.match(/'descr': '<f([48])'/);
  const shape = header.match(/'shape': \(([^)]*)\)/);
  if (!dtype || !shape) throw new Error(`not an array of floats: ${header}`);
  const content = file.slice(start + length);
  return {
    shape: shape[1].split(",").filter((part) => part.trim()).map(Number),
    numbers: dtype[1] === "8" ? new Float64Array(content) : new Float32Array(content),
  };
}
