// The page around classify.mjs: choosing, dropping or pasting an image, and showing the answer.
import { decode, loadClassifier } from "./classify.mjs";

const element = (id) => document.getElementById(id);
const [file, drop, status, picture] = ["file", "drop", "status", "picture"].map(element);

function say(text, isError = false) {
  status.textContent = text;
  status.classList.toggle("error", isError);
}

if ("serviceWorker" in navigator) {
  // Keeps every file, so that the page works without a network from its second visit on.
  navigator.serviceWorker.register("offline.js").catch(() => {});
}

let classifier;
try {
  classifier = await loadClassifier((loaded, total) => say(`Loading the model: ${Math.floor((100 * loaded) / total)} %`));
  const { name, version, classes, dtype } = classifier.model;
  document.title = element("name").textContent = name;
  element("about").textContent = `Version ${version}, ${classes} classes, ${dtype}, compiled by zooc`;
  file.disabled = false;
  say("");
} catch (error) {
  element("about").textContent = "";
  say(`The classifier cannot be loaded: ${error.message}`, true);
}

async function show(image) {
  if (!classifier || !image) {
    return;
  }
  say("Classifying…");
  element("answer").hidden = true;
  try {
    const decoded = await decode(image).catch(() => {
      throw new Error(`${image.name || "this"} is not an image that the browser can read`);
    });
    const began = performance.now();
    const { topk } = await classifier.classify(decoded);
    const took = performance.now() - began;
    URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(image);
    element("caption").textContent = `${decoded.width} × ${decoded.height} pixels, ${took.toFixed(1)} ms`;
    element("classes").replaceChildren(...topk.map(row));
    element("answer").hidden = false;
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

function row({ index, label, probability }) {
  const item = document.createElement("li");
  const name = document.createElement("span");
  name.textContent = label;
  const value = document.createElement("data");
  value.value = probability;
  value.textContent = `${(100 * probability).toFixed(1)} %`;
  const bar = document.createElement("meter");
  bar.value = probability;
  item.dataset.index = index;
  item.append(name, value, bar);
  return item;
}

file.addEventListener("change", () => show(file.files[0]));
document.addEventListener("paste", (event) => show(event.clipboardData.files[0]));
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    if (kind === "drop") {
      show(event.dataTransfer.files[0]);
    }
  });
}
