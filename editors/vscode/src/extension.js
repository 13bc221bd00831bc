// Starts `zooc lsp` for .zoo files, and again when the settings change.
const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

let client;

async function start() {
  if (!vscode.workspace.isTrusted) {
    return; // the setting may name any program of the folder
  }
  const settings = vscode.workspace.getConfiguration("zooc");
  const command = settings.get("path");
  const server = { command, args: settings.get("arguments"), transport: TransportKind.stdio };
  client = new LanguageClient("zooc", "zooc", server, {
    documentSelector: [
      { scheme: "file", language: "zoo" },
      { scheme: "untitled", language: "zoo" },
    ],
  });
  try {
    await client.start();
  } catch (problem) {
    client = undefined;
    const choice = await vscode.window.showErrorMessage(
      `zooc: "${command}" does not start (${problem?.message ?? problem}). Install it with: pip install "zooc[editor]"`,
      "Open Settings",
    );
    if (choice !== undefined) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "zooc.path");
    }
  }
}

async function stop() {
  const running = client;
  client = undefined;
  await running?.stop();
}

async function restart() {
  await stop();
  await start();
}

exports.activate = async (context) => {
  context.subscriptions.push(
    vscode.commands.registerCommand("zooc.restart", restart),
    vscode.workspace.onDidGrantWorkspaceTrust(restart),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("zooc.path") || event.affectsConfiguration("zooc.arguments")) {
        return restart();
      }
    }),
  );
  await start();
};

exports.deactivate = stop;
