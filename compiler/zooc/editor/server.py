"""`zooc lsp`: the Language Server Protocol (3.17) over standard input and output, by pygls.

Only the wiring is here: what is answered comes from `Document` and the functions beside it, which know
nothing of the protocol. Texts are synchronized whole, as descriptions are a page long.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls import uris
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer

from zooc import __version__
from zooc.diagnostics.diagnostic import Diagnostic, Span, ZoocError
from zooc.editor import completion, fixes, names
from zooc.editor.document import Document, covers
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.lexer import grammar

__all__ = ["DEBOUNCE_SECONDS", "make_server", "serve"]

DEBOUNCE_SECONDS = 0.15
"""The findings follow the last key by so much; a key in between starts the wait again."""

_KINDS = {
    "block": lsp.CompletionItemKind.Module,
    "statement": lsp.CompletionItemKind.Property,
    "step": lsp.CompletionItemKind.Function,
    "parameter": lsp.CompletionItemKind.Field,
    "word": lsp.CompletionItemKind.EnumMember,
    "let": lsp.CompletionItemKind.Variable,
    "model": lsp.CompletionItemKind.Class,
    "file": lsp.CompletionItemKind.File,
    "folder": lsp.CompletionItemKind.Folder,
}
_SYMBOLS = {
    "let": lsp.SymbolKind.Variable,
    "block": lsp.SymbolKind.Module,
    "variant": lsp.SymbolKind.Namespace,
    "head": lsp.SymbolKind.Object,
    "step": lsp.SymbolKind.Function,
    "statement": lsp.SymbolKind.Property,
    "override": lsp.SymbolKind.Property,
}


class _Server(LanguageServer):
    """The server, the documents as they were last analyzed, and the waits for the next findings."""

    def __init__(self) -> None:
        super().__init__("zooc", __version__, text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self._documents: dict[str, Document] = {}
        self._waits: dict[str, asyncio.TimerHandle] = {}

    def document(self, uri: str) -> Document:
        """Return the text as it stands, with what was computed of it already."""
        text = self.workspace.get_text_document(uri).source
        known = self._documents.get(uri)
        if known is None or known.text != text:
            known = self._documents[uri] = Document(_path(uri), text)
        return known

    def publish_soon(self, uri: str, delay: float = DEBOUNCE_SECONDS) -> None:
        """Publish the findings of the text after `delay` seconds without a further change."""
        self.forget_wait(uri)
        loop = asyncio.get_running_loop()
        self._waits[uri] = loop.call_later(delay, self._publish, uri)

    def forget_wait(self, uri: str) -> None:
        """Publish nothing for `uri` that is not asked for again."""
        wait = self._waits.pop(uri, None)
        if wait is not None:
            wait.cancel()

    def close(self, uri: str) -> None:
        """Forget a document, and take its findings off the screen."""
        self.forget_wait(uri)
        self._documents.pop(uri, None)
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, []))

    def _publish(self, uri: str) -> None:
        self._waits.pop(uri, None)
        document = self.document(uri)
        found = [_diagnostic(document, uri, finding) for finding in document.findings]
        version = self.workspace.get_text_document(uri).version
        self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, found, version))


def serve() -> None:
    """Serve one editor over standard input and output, until it leaves.

    The protocol gets file descriptors of its own, and what anything else prints goes to standard error: a
    stray line between two messages would end the session.
    """
    grammar()  # read before the first key
    wire = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    make_server().start_io(os.fdopen(os.dup(sys.stdin.fileno()), "rb"), wire)


def make_server() -> LanguageServer:
    """Return the server with all its features, not yet started."""
    server = _Server()
    _add_synchronization(server)
    _add_answers(server)
    _add_changes(server)
    return server


def _add_synchronization(server: _Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    async def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        server.publish_soon(params.text_document.uri, 0.0)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    async def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        server.publish_soon(params.text_document.uri)

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    async def saved(params: lsp.DidSaveTextDocumentParams) -> None:
        server.publish_soon(params.text_document.uri, 0.0)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    async def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        server.close(params.text_document.uri)


def _add_answers(server: _Server) -> None:
    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[".", "(", '"', "/", "=", ","])
    )
    def complete(params: lsp.CompletionParams) -> lsp.CompletionList:
        document, offset = _at(server, params)
        choices = completion.complete(document, offset)
        items = [_item(document, choice, offset, i) for i, choice in enumerate(choices)]
        return lsp.CompletionList(is_incomplete=False, items=items)

    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hover(params: lsp.HoverParams) -> lsp.Hover | None:
        document, offset = _at(server, params)
        found = names.hover(document, offset)
        if found is None:
            return None
        content = lsp.MarkupContent(lsp.MarkupKind.Markdown, found.text)
        return lsp.Hover(content, _range(document, found.span))

    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def definition(params: lsp.DefinitionParams) -> lsp.Location | None:
        document, offset = _at(server, params)
        span = names.definition(document, offset)
        return None if span is None else lsp.Location(params.text_document.uri, _range(document, span))

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def references(params: lsp.ReferenceParams) -> list[lsp.Location]:
        document, offset = _at(server, params)
        spans = names.references(document, offset)
        kept = spans if params.context.include_declaration else spans[1:]
        return [lsp.Location(params.text_document.uri, _range(document, span)) for span in kept]

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def symbols(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        document = server.document(params.text_document.uri)
        return [_symbol(document, symbol) for symbol in names.symbols(document)]


def _add_changes(server: _Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepare_rename(params: lsp.PrepareRenameParams) -> lsp.Range | None:
        document, offset = _at(server, params)
        spans = [span for span in names.references(document, offset) if covers(span, offset)]
        return _range(document, spans[0]) if spans else None

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    def rename(params: lsp.RenameParams) -> lsp.WorkspaceEdit:
        document, offset = _at(server, params)
        try:
            spans = names.rename(document, offset, params.new_name)
        except names.RenameRefused as refusal:
            raise JsonRpcInvalidParams(str(refusal)) from None
        edits = [lsp.TextEdit(_range(document, span), params.new_name) for span in spans]
        return lsp.WorkspaceEdit(changes={params.text_document.uri: edits})

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def formatting(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
        document = server.document(params.text_document.uri)
        with contextlib.suppress(ZoocError):  # its syntax errors are on the screen already
            formatted = format_source(document.source.text, document.source.name)
            whole = Span(document.source, 0, len(document.text))
            return [] if formatted == document.text else [lsp.TextEdit(_range(document, whole), formatted)]
        return None

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION,
        lsp.CodeActionOptions(code_action_kinds=[lsp.CodeActionKind.QuickFix]),
    )
    def code_actions(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        uri = params.text_document.uri
        document = server.document(uri)
        begin = document.offset(params.range.start.line, params.range.start.character)
        end = document.offset(params.range.end.line, params.range.end.character)
        actions: list[lsp.CodeAction] = []
        for finding in document.findings:
            if finding.span is not None and finding.span.start <= end and begin <= finding.span.end:
                actions += _actions(document, uri, finding)
        return actions


def _actions(document: Document, uri: str, finding: Diagnostic) -> list[lsp.CodeAction]:
    assert finding.span is not None
    place = _range(document, finding.span)
    texts = fixes.replacements(finding)
    return [
        lsp.CodeAction(
            f"Replace by `{text}`",
            kind=lsp.CodeActionKind.QuickFix,
            diagnostics=[_diagnostic(document, uri, finding)],
            is_preferred=len(texts) == 1,
            edit=lsp.WorkspaceEdit(changes={uri: [lsp.TextEdit(place, text)]}),
        )
        for text in texts
    ]


def _path(uri: str) -> Path:
    """The file of a document; an unsaved one's lies in the working folder."""
    path = uris.to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path) if path else Path.cwd() / "untitled.zoo"


def _at(server: _Server, params: Any) -> tuple[Document, int]:
    document = server.document(params.text_document.uri)
    return document, document.offset(params.position.line, params.position.character)


def _range(document: Document, span: Span | None) -> lsp.Range:
    start, end = (0, 0) if span is None else (span.start, span.end)
    return lsp.Range(lsp.Position(*document.position(start)), lsp.Position(*document.position(end)))


def _diagnostic(document: Document, uri: str, finding: Diagnostic) -> lsp.Diagnostic:
    severity = lsp.DiagnosticSeverity.Error
    if finding.severity == "warning":
        severity = lsp.DiagnosticSeverity.Warning
    notes = [
        *(f"note: {note}" for note in finding.notes),
        *([f"hint: {finding.hint}"] if finding.hint else []),
    ]
    related = [
        lsp.DiagnosticRelatedInformation(lsp.Location(uri, _range(document, label.span)), label.message)
        for label in finding.labels
        if label.span.source is document.source
    ]
    return lsp.Diagnostic(
        _range(document, finding.span),
        "\n".join([finding.message, *notes]),
        severity=severity,
        code=finding.code,
        source="zooc",
        related_information=related or None,
        tags=[lsp.DiagnosticTag.Unnecessary] if finding.code == "Z0113" else None,
    )


def _item(document: Document, choice: completion.Choice, offset: int, rank: int) -> lsp.CompletionItem:
    markdown = lsp.MarkupContent(lsp.MarkupKind.Markdown, choice.documentation)
    return lsp.CompletionItem(
        choice.text,
        kind=_KINDS[choice.kind],
        detail=choice.detail or None,
        documentation=markdown if choice.documentation else None,
        sort_text=f"{rank:05}",
        text_edit=lsp.TextEdit(_range(document, Span(document.source, choice.start, offset)), choice.text),
    )


def _symbol(document: Document, symbol: names.Symbol) -> lsp.DocumentSymbol:
    return lsp.DocumentSymbol(
        symbol.name or "?",
        _SYMBOLS[symbol.kind],
        _range(document, symbol.span),
        _range(document, symbol.name_span),
        detail=symbol.detail or None,
        children=[_symbol(document, child) for child in symbol.children] or None,
    )
