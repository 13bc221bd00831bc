"""A real client, by pygls, and one server process for all tests."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient


class Editor:
    """An editor with one server: opens texts, asks, and keeps what the server publishes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.published: dict[str, list[lsp.PublishDiagnosticsParams]] = defaultdict(list)
        self._news = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.client = LanguageClient("tests", "1")
        self._opened = 0

        @self.client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def note(params: lsp.PublishDiagnosticsParams) -> None:
            with self._news:
                self.published[params.uri].append(params)
                self._news.notify_all()

        self.wait(self.client.start_io(sys.executable, "-m", "zooc", "lsp", env=dict(os.environ)))
        root = folder.as_uri()
        params = lsp.InitializeParams(lsp.ClientCapabilities(), root_uri=root, process_id=os.getpid())
        self.abilities = self.wait(self.client.initialize_async(params)).capabilities
        self.client.initialized(lsp.InitializedParams())

    def wait(self, work: Coroutine[Any, Any, Any] | Any) -> Any:
        """The answer to a request."""

        async def run() -> Any:
            return await work

        future: Future[Any] = asyncio.run_coroutine_threadsafe(run(), self._loop)
        return future.result(20)

    def open(self, marked: str) -> File:
        """A new text; `|` is where the cursor is, and stands not in the text."""
        self._opened += 1
        uri = (self.folder / f"file{self._opened}.zoo").as_uri()
        text = marked.replace("|", "", 1)
        self.client.text_document_did_open(
            lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem(uri, "zoo", 1, text))
        )
        return File(self, uri, text, marked.find("|"))

    def findings(self, uri: str, count: int) -> list[lsp.Diagnostic]:
        """What was published last, after `count` times."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.published[uri]) >= count, 20)
            return list(self.published[uri][-1].diagnostics)

    def stop(self) -> int | None:
        """Ends the server in the protocol's way; returns its exit code."""
        self.wait(self.client.shutdown_async(None))
        self.client.exit(None)
        server = self.client._server
        assert server is not None
        code = self.wait(server.wait())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        return code


class File:
    """One open text, with a cursor."""

    def __init__(self, editor: Editor, uri: str, text: str, cursor: int) -> None:
        self.editor, self.uri, self.text = editor, uri, text
        before = text[: max(cursor, 0)]
        self.here = lsp.Position(before.count("\n"), _units(before[before.rfind("\n") + 1 :]))
        self.document = lsp.TextDocumentIdentifier(uri)

    def at(self) -> dict[str, Any]:
        """The arguments of a request about the cursor's place."""
        return {"text_document": self.document, "position": self.here}

    def change(self, text: str, version: int) -> None:
        """Replaces the whole text, as one key would."""
        document = lsp.VersionedTextDocumentIdentifier(version, self.uri)
        change = lsp.TextDocumentContentChangeWholeDocument(text)
        self.editor.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))
        self.text = text

    def shows(self, where: lsp.Range) -> str:
        """The text of a range, counted as the protocol does it."""
        lines = re.split("(?<=\n)", self.text)
        start, end = (
            sum(map(len, lines[: p.line])) + _characters(lines[p.line], p.character)
            for p in (where.start, where.end)
        )
        return self.text[start:end]


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _characters(line: str, units: int) -> int:
    return len(line.encode("utf-16-le")[: 2 * units].decode("utf-16-le"))


@pytest.fixture(scope="session")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("editor")
    (folder / "net.onnx").touch()
    (folder / "labels.txt").write_text("a\nb\n")
    (folder / "images").mkdir()
    editor = Editor(folder)
    yield editor
    assert editor.stop() == 0
