// Classifies images with the model.onnx of a package that `zooc compile` wrote:
//
//     node classify.mjs build/digits cat.jpg dog.png
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as ort from "onnxruntime-node";
import sharp from "sharp";

class Problem extends Error {}

/** The folder that holds manifest.json: `given`, or the one folder in it that does. */
function findPackage(given) {
  const folders = existsSync(given) ? ["", ...readdirSync(given)].map((name) => join(given, name)) : [];
  const found = folders.find((folder) => existsSync(join(folder, "manifest.json")));
  if (!found) {
    throw new Problem(`${given}: not a package of zooc`);
  }
  return found;
}

/** RGB bytes as Pillow's `convert("RGB")` gives them: not turned by EXIF, without colour profile and transparency. */
async function decode(file) {
  try {
    const image = sharp(file, { autoOrient: false }).removeAlpha().toColourspace("srgb");
    const { data, info } = await image.raw({ depth: "uchar" }).toBuffer({ resolveWithObject: true });
    return new ort.Tensor("uint8", new Uint8Array(data), [info.height, info.width, 3]);
  } catch (error) {
    throw new Problem(`${file}: cannot be read as an image (${error.message})`);
  }
}

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = [...scores].map((score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

async function main([given, ...files]) {
  if (!given || files.length === 0) {
    console.error("usage: node classify.mjs PACKAGE IMAGE...");
    return 2;
  }
  const folder = findPackage(given);
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
  if (manifest.preprocess?.source !== "rgb" && manifest.preprocess?.source !== undefined) {
    throw new Problem(`${given}: takes frames of a camera, not images`);
  }
  const { labels, topk } = manifest.postprocess;
  const names = labels && readFileSync(join(folder, labels), "utf8").trimEnd().split("\n");
  const session = await ort.InferenceSession.create(join(folder, "model.onnx"));
  for (const file of files) {
    const results = await session.run({ image: await decode(file) });
    const scores = results[session.outputNames[0]].data.slice(0, manifest.model.classes);
    const probabilities = manifest.stages.postlude ? scores : softmax(scores);
    const best = [...scores.keys()].sort((a, b) => scores[b] - scores[a]).slice(0, topk);
    console.log(file);
    for (const index of best) {
      console.log(`  ${probabilities[index].toFixed(6)}  ${names?.[index] ?? index} (${index})`);
    }
  }
  return 0;
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error) => {
    console.error(`error: ${error instanceof Problem ? error.message : (error.stack ?? error)}`);
    process.exitCode = 1;
  },
);
