// Runs the built extension without Visual Studio Code: node test/stand_in.cjs COMMAND ARGUMENT...
//
// The module `vscode` is a stand-in, whose every property can be called, constructed and read. The client is
// the real one, and so is the server that it starts: that the extension activates means that the two have met.
const Module = require("module");
const path = require("path");

const settings = { path: process.argv[2], arguments: process.argv.slice(3) };

function stub(known = {}) {
  const target = function () {};
  return new Proxy(target, {
    get(_, key) {
      if (key in known) return known[key];
      if (key === "then" || key === Symbol.toPrimitive) return undefined;
      if (key === Symbol.iterator) return [][Symbol.iterator];
      if (key === "prototype") return target.prototype;
      return (known[key] = stub());
    },
    apply: () => stub(),
    construct: () => stub(),
  });
}

const silent = Object.fromEntries(
  ["append", "appendLine", "show", "dispose", "error", "info"].map((name) => [name, () => {}]),
);
const vscode = stub({
  version: "1.95.0",
  workspace: stub({
    isTrusted: true,
    textDocuments: [],
    notebookDocuments: [],
    workspaceFolders: undefined,
    getConfiguration: () => ({ get: (key, other) => settings[key] ?? other, inspect: () => undefined }),
  }),
  window: stub({
    visibleTextEditors: [],
    tabGroups: stub({ all: [] }),
    createOutputChannel: () => silent,
    showErrorMessage: async (text) => console.log(`shown: ${text}`),
  }),
  env: stub({ appName: "stand-in", language: "en" }),
});
const load = Module._load;
Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));

const extension = require(path.join(__dirname, "..", "dist", "extension.js"));
const context = { subscriptions: [] };
extension
  .activate(context)
  .then(() => console.log(`activated with ${context.subscriptions.length} subscriptions`))
  .then(() => extension.deactivate())
  .then(() => console.log("deactivated"))
  .then(() => process.exit(0));
setTimeout(() => process.exit(3), 30000);
