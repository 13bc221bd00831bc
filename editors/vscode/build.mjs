// Puts the extension into one file, and the grammar and the licence, which the repository has elsewhere, beside it.
import { cpSync, mkdirSync } from "node:fs";
import { build } from "esbuild";

mkdirSync("syntaxes", { recursive: true });
cpSync("../../grammar/zooc.tmLanguage.json", "syntaxes/zooc.tmLanguage.json");
cpSync("../../LICENSE", "LICENSE");
await build({
  entryPoints: ["src/extension.js"],
  outfile: "dist/extension.js",
  bundle: true,
  minify: true,
  platform: "node",
  format: "cjs",
  target: "node20",
  external: ["vscode"],
});
