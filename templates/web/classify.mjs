// The classifier without its page: `import { loadClassifier, decode } from "./classify.mjs"`.
//
// model.onnx takes uint8 [height, width, 3] of any size; cropping, resizing and normalization are in the graph.
import * as ort from "./ort/ort.mjs";

const HERE = new URL("./", import.meta.url);

/**
 * Loads the classifier that lies beside this file.
 * @param {(loaded: number, total: number) => void} onProgress told how many bytes of the model have come.
 * @returns {Promise<Classifier>}
 */
export async function loadClassifier(onProgress = () => {}) {
  const model = await (await fetched("model.json")).json();
  ort.env.wasm.wasmPaths = { wasm: new URL(`ort/${model.wasm}`, HERE).href };
  ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
  const graph = await download("model.onnx", model.bytes, onProgress);
  const session = await ort.InferenceSession.create(graph, {
    executionProviders: model.providers,
    logSeverityLevel: 3,
  });
  return new Classifier(session, model);
}

/** A loaded network; get one with `loadClassifier`. */
export class Classifier {
  constructor(session, model) {
    this.session = session;
    this.model = model;
  }

  /**
   * Classifies one image.
   * @param {{pixels: Uint8Array, height: number, width: number}} image RGB, row by row, as `decode` gives it.
   * @param {number} count how many classes to name.
   * @returns {Promise<{topk: {index: number, label: string, probability: number}[], probabilities: Float32Array}>}
   */
  async classify({ pixels, height, width }, count = this.model.topk) {
    const [input] = this.session.inputNames;
    const results = await this.session.run({ [input]: new ort.Tensor("uint8", pixels, [height, width, 3]) });
    // A network of a fixed batch answers once for each of its rows, which are all this image.
    const scores = results[this.session.outputNames[0]].data.slice(0, this.model.classes);
    const { activation, classes, labels } = this.model;
    const probabilities = activation === "none" && classes > 1 ? softmax(scores) : scores;
    // One score of two named classes: the second's probability, and the first's is the rest.
    const ranked = classes === 1 && labels?.length === 2 ? [1 - probabilities[0], probabilities[0]] : scores;
    const order = [...ranked.keys()].sort((a, b) => ranked[b] - ranked[a] || a - b);
    const topk = order.slice(0, count).map((index) => ({
      index,
      label: labels?.[index] ?? String(index),
      probability: ranked === scores ? probabilities[index] : ranked[index],
    }));
    return { topk, probabilities };
  }
}

/**
 * Decodes an image file as the browser does, without its EXIF orientation and colour profile, as Pillow decodes it.
 * @param {Blob} file
 * @returns {Promise<{pixels: Uint8Array, height: number, width: number}>} RGB; transparency is dropped.
 */
export async function decode(file) {
  const bitmap = await createImageBitmap(await withoutExif(file), {
    premultiplyAlpha: "none",
    colorSpaceConversion: "none",
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const pixels = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < data.length; from += 4) {
    pixels[to++] = data[from];
    pixels[to++] = data[from + 1];
    pixels[to++] = data[from + 2];
  }
  return { pixels, height, width };
}

/** A JPEG file without its EXIF segments: browsers turn by them, and cannot be told not to. Others as they are. */
async function withoutExif(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const [SOI, APP1, SOS] = [0xffd8, 0xffe1, 0xffda];
  const word = (at) => (bytes[at] << 8) | bytes[at + 1];
  if (word(0) !== SOI) {
    return file;
  }
  const kept = [bytes.subarray(0, 2)];
  let at = 2;
  while (at + 10 <= bytes.length && bytes[at] === 0xff && word(at) !== SOS) {
    const end = at + 2 + word(at + 2);
    const isExif = word(at) === APP1 && String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === "Exif";
    if (!isExif) {
      kept.push(bytes.subarray(at, end));
    }
    at = end;
  }
  return new Blob([...kept, bytes.subarray(at)], { type: "image/jpeg" });
}

function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

async function fetched(name) {
  const response = await fetch(new URL(name, HERE));
  if (!response.ok) {
    throw new Error(`${name} cannot be loaded: ${response.status} ${response.statusText}`);
  }
  return response;
}

async function download(name, total, onProgress) {
  const bytes = new Uint8Array(total);
  const reader = (await fetched(name)).body.getReader();
  let loaded = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (loaded + part.value.length > total) {
      throw new Error(`${name} is not the file that was exported; export the page again`);
    }
    bytes.set(part.value, loaded);
    loaded += part.value.length;
    onProgress(loaded, total);
  }
  if (loaded !== total) {
    throw new Error(`${name} came only in part: ${loaded} of ${total} bytes`);
  }
  return bytes;
}
