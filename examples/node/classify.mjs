// Classifies images with the model.onnx of a package that `zooc compile` wrote:
//
//     node classify.mjs build/digits cat.jpg dog.png
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import { decode } from "./decode.mjs";

/** The folder that holds manifest.json: `given`, or the one folder in it that does. */
function findPackage(given) {
  const holds = (folder) => existsSync(join(folder, "manifest.json"));
  const inner = statSync(given, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(given) : [];
  const found = holds(given) ? [given] : inner.map((name) => join(given, name)).filter(holds);
  if (found.length !== 1) {
    throw new Error(`${given}: not a package of zooc; name the folder that holds manifest.json`);
  }
  return found[0];
}

async function load(given) {
  const folder = findPackage(given);
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
  if (manifest.preprocess?.source !== "rgb") {
    throw new Error(`${given}: takes ${manifest.preprocess ? "camera frames" : "tensors"}, not images`);
  }
  const { labels, topk } = manifest.postprocess;
  return {
    session: await ort.InferenceSession.create(join(folder, "model.onnx")),
    classes: manifest.model.classes,
    endsInLogits: manifest.stages.postlude === null,
    names: labels && readFileSync(join(folder, labels), "utf8").split("\n"),
    topk,
  };
}

async function classify({ session, classes, endsInLogits, names, topk }, file) {
  const { pixels, dims } = await decode(file).catch((error) => {
    throw new Error(`${file}: cannot be read as an image (${error.message})`);
  });
  const [input] = session.inputNames;
  const [output] = session.outputNames;
  const results = await session.run({ [input]: new ort.Tensor("uint8", pixels, dims) });
  // A network of a fixed batch answers once for each of its rows, which are all this image.
  const scores = results[output].data.slice(0, classes);
  const probabilities = endsInLogits ? softmax(scores) : scores;
  const order = [...scores.keys()].sort((a, b) => scores[b] - scores[a]);
  console.log(file);
  for (const index of order.slice(0, topk)) {
    console.log(`  ${probabilities[index].toFixed(6)}  ${names?.[index] ?? index} (${index})`);
  }
}

function softmax(scores) {
  const most = scores.reduce((a, b) => Math.max(a, b));
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

process.stdout.on("error", () => process.exit(1)); // its reader has closed it, as `| head` does

const [given, ...files] = process.argv.slice(2);
if (files.length === 0) {
  console.error("usage: node classify.mjs PACKAGE IMAGE...");
  process.exitCode = 2;
} else {
  try {
    const model = await load(given);
    for (const file of files) {
      await classify(model, file);
    }
  } catch (error) {
    console.error(`error: ${error.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
}
