"""Time `zooc lsp`'s answers for a description of 500 lines: the findings after a key, and what is asked.

    python benchmarks/lsp.py [--lines 500] [--rounds 20]

The server is a process of its own, asked by pygls's client over standard input and output, as an editor does.
A change's time is without the wait for further keys.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from zooc.editor.document import Document
from zooc.editor.server import DEBOUNCE_SECONDS

EXAMPLE = Path(__file__).parents[1] / "examples" / "resnest50.zoo"


def description(lines: int) -> str:
    """The example, with as many definitions before it, each from the one before, as make so many lines."""
    example = EXAMPLE.read_text(encoding="utf-8")
    count = lines - example.count("\n")
    first = "let name0 = 1\n"
    return first + "".join(f"let name{i} = name{i - 1} + 1  # {i}\n" for i in range(1, count)) + example


async def measure(lines: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of answer."""
    client = LanguageClient("benchmark", "1")
    arrived = asyncio.Event()

    @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def _note(_: lsp.PublishDiagnosticsParams) -> None:
        arrived.set()

    await client.start_io(sys.executable, "-m", "zooc", "lsp")
    await client.initialize_async(lsp.InitializeParams(lsp.ClientCapabilities()))
    client.initialized(lsp.InitializedParams())
    text, uri = description(lines), EXAMPLE.as_uri()
    item = lsp.TextDocumentItem(uri, "zoo", 0, text)
    client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
    await arrived.wait()
    document = lsp.TextDocumentIdentifier(uri)
    here = {"text_document": document, "position": lsp.Position(lines // 2, 6)}
    asked: dict[str, Callable[[], Awaitable[Any]]] = {
        "completion": lambda: client.text_document_completion_async(lsp.CompletionParams(**here)),
        "hover": lambda: client.text_document_hover_async(lsp.HoverParams(**here)),
        "definition": lambda: client.text_document_definition_async(lsp.DefinitionParams(**here)),
        "symbols": lambda: client.text_document_document_symbol_async(lsp.DocumentSymbolParams(document)),
        "formatting": lambda: client.text_document_formatting_async(
            lsp.DocumentFormattingParams(document, lsp.FormattingOptions(2, True))
        ),
    }
    times: dict[str, list[float]] = {"findings": [], **{name: [] for name in asked}}
    for version in range(1, rounds + 1):
        arrived.clear()
        changed = lsp.VersionedTextDocumentIdentifier(version, uri)
        content = [lsp.TextDocumentContentChangeWholeDocument(f"{text}# {version}\n")]
        start = time.perf_counter()
        client.text_document_did_change(lsp.DidChangeTextDocumentParams(changed, content))
        await arrived.wait()
        times["findings"].append(1e3 * (time.perf_counter() - start - DEBOUNCE_SECONDS))
        for name, ask in asked.items():
            start = time.perf_counter()
            await ask()
            times[name].append(1e3 * (time.perf_counter() - start))
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()
    return times


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    times = asyncio.run(measure(options.lines, options.rounds))
    start = time.process_time()
    _ = Document(EXAMPLE, description(options.lines)).findings
    first = 1e3 * (time.process_time() - start)
    print(f"{options.lines} lines, {options.rounds} changes; {DEBOUNCE_SECONDS} s of waiting left out")
    print(f"{'':12} median ms   most ms")
    for name, values in times.items():
        print(f"{name:12} {statistics.median(values):9.1f} {max(values):9.1f}")
    print(f"analysis alone, in this process, with the grammar's tables to read: {first:.0f} ms")


if __name__ == "__main__":
    main()
