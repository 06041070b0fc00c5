/** What a single file says of itself. onnxruntime-web does not tell it, so it is read from the file: a ModelProto. */

const METADATA_PROPS = 14;

/**
 * The fields of a protobuf message: [number, content] of those that have a length, the others are passed over.
 * @param {Uint8Array} bytes
 */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (!(byte & 128)) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 0) varint();
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else {
      const length = varint();
      yield /** @type {[number, Uint8Array]} */ ([tag >>> 3, bytes.subarray(at, at + length)]);
      at += length;
    }
  }
}

/**
 * @param {Uint8Array} file
 * @returns {any} The document under the key `odeserve`; null in a file that has none.
 */
export function metadataOf(file) {
  const text = new TextDecoder();
  for (const [number, content] of fields(file)) {
    if (number !== METADATA_PROPS) continue;
    const entry = new Map(fields(content));
    if (text.decode(entry.get(1)) === "odeserve") return JSON.parse(text.decode(entry.get(2)));
  }
  return null;
}
