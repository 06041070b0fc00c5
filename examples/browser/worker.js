/** Runs the model beside the page, so that the page stays quick while a solve takes its time. */

import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { metadataOf } from "./metadata.js";

// More threads need a page that is isolated from others (COOP and COEP headers); one is enough here.
ort.env.wasm.numThreads = 1;

/** @type {Promise<{session: any, about: any, bytes: number, milliseconds: number}>} */
let loading;

async function load(/** @type {string} */ address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`${address}: ${answer.status} ${answer.statusText}`);
  const file = new Uint8Array(await answer.arrayBuffer());
  const about = metadataOf(file);
  if (!about) throw new Error(`${address}: is no file of odetrain export --single-file`);
  const begun = performance.now();
  const session = await ort.InferenceSession.create(file);
  // The first run is slow, because the browser compiles what it meets.
  if (about.input.dtype === "float32") await solved(session, about, new Float32Array(about.input.shape.reduce((a, b) => a * b)), [about.tol.loosest]);
  return { session, about, bytes: file.length, milliseconds: performance.now() - begun };
}

/**
 * The same input in a lane for each tolerance.
 * @param {any} session
 * @param {any} about
 * @param {Float32Array} input
 * @param {number[]} tols
 */
async function solved(session, about, input, tols) {
  const lanes = tols.length;
  const repeated = new Float32Array(lanes * input.length);
  for (let lane = 0; lane < lanes; lane++) repeated.set(input, lane * input.length);
  const feeds = {
    [about.input.name]: new ort.Tensor("float32", repeated, [lanes, ...about.input.shape]),
    tol: new ort.Tensor("float64", Float64Array.from(tols), [lanes]),
    max_nfe: new ort.Tensor("int64", BigInt64Array.of(0n), [1]),
  };
  const begun = performance.now();
  const found = await session.run(feeds);
  const milliseconds = performance.now() - begun;
  const answer = found[about.outputs[0].name];
  const size = answer.data.length / lanes;
  return tols.map((tol, lane) => ({
    tol,
    answer: Array.from(answer.data.subarray(lane * size, (lane + 1) * size)),
    nfe: Number(found.nfe.data[lane]),
    accepted: Number(found.accepted_steps.data[lane]),
    rejected: Number(found.rejected_steps.data[lane]),
    status: about.statuses[found.status.data[lane]].name,
    milliseconds,
  }));
}

onmessage = async ({ data: { id, address, input, tols } }) => {
  try {
    if (address) {
      loading = load(address);
      const { about, bytes, milliseconds } = await loading;
      postMessage({ id, value: { about, bytes, milliseconds } });
    } else {
      const { session, about } = await loading;
      postMessage({ id, value: await solved(session, about, input, tols) });
    }
  } catch (error) {
    postMessage({ id, error: String(error instanceof Error ? error.message : error) });
  }
};
