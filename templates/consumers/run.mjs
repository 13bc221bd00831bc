// Runs an ONNX file in onnxruntime-node or onnxruntime-web, for `zooc compile --for`.
//
//     node run.mjs FOLDER PACKAGE BASE
//
// FOLDER holds model.onnx and task.json, {"inputs": [{"file", "type", "dims"}, ...]}. PACKAGE is looked up from the
// folder BASE as Node looks up any package. Each output goes to a file of raw bytes in FOLDER. Standard output gets
// one JSON object: {"version", "outputs": [[{"name", "type", "dims", "file"}, ...], ...]}, or {"missing": true}, or
// {"version", "error"}.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, name, base] = process.argv.slice(2);
const ARRAYS = { uint8: Uint8Array, float32: Float32Array };

function answer(value) {
  writeFileSync(1, JSON.stringify(value));
  process.exit(0);
}

let ort;
try {
  ort = createRequire(join(base, "from-here.js"))(name);
} catch (error) {
  if (error.code !== "MODULE_NOT_FOUND") {
    answer({ version: "", error: String(error.message ?? error) });
  }
  answer({ missing: true });
}
const version = ort.env.versions[name === "onnxruntime-node" ? "node" : "web"] ?? "of unknown version";
if (name === "onnxruntime-web") {
  ort.env.wasm.numThreads = 1;
}
try {
  const session = await ort.InferenceSession.create(readFileSync(join(folder, "model.onnx")), { logSeverityLevel: 4 });
  const outputs = [];
  for (const [index, { file, type, dims }] of JSON.parse(readFileSync(join(folder, "task.json"))).inputs.entries()) {
    const bytes = readFileSync(join(folder, file));
    const values = new ARRAYS[type](bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    const results = await session.run({ [session.inputNames[0]]: new ort.Tensor(type, values, dims) });
    outputs.push(
      session.outputNames.map((output, place) => {
        const { data, dims, type } = results[output];
        const target = `output_${index}_${place}.bin`;
        writeFileSync(join(folder, target), new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        return { name: output, type, dims, file: target };
      }),
    );
  }
  answer({ version, outputs });
} catch (error) {
  answer({ version, error: String(error.message ?? error) });
}
