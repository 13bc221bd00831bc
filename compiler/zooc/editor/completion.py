"""What may be written at the cursor, and what each of it means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zooc.diagnostics.words import meanings
from zooc.editor.choices import ARGUMENTS, FILES, VALUES, parameters
from zooc.editor.cursor import Place, place_of
from zooc.editor.document import Document
from zooc.editor.names import shown
from zooc.frontend.syntax.vocabulary import BLOCKS, EXAMPLES, HEAD, SOURCES, SPEEDS, STEPS
from zooc.networks.torch.published_names import published_names

__all__ = ["Choice", "complete"]

MAX_FILES = 1000
"""No more of a folder's entries are offered."""

ChoiceKind = Literal["block", "statement", "step", "parameter", "word", "let", "model", "file", "folder"]


@dataclass(frozen=True)
class Choice:
    """One thing that fits: its text replaces what is typed from `start` on to the cursor."""

    text: str
    kind: ChoiceKind
    start: int
    detail: str = ""
    documentation: str = ""


def complete(document: Document, offset: int) -> list[Choice]:
    """Return what fits at `offset`, the likeliest first; what is typed already does not narrow it."""
    place = place_of(document, offset)
    if place.text is not None:
        return list(_files(document, place))
    if place.parts:
        kind = place.parts[0]
        if kind in SOURCES:
            return list(_models(place, kind))
        return list(_paths(place))
    return list(_choices(document, place))


def _choices(document: Document, place: Place) -> Iterator[Choice]:
    match place.kind:
        case "item":
            present = document.outline.blocks
            yield from _words([b for b in BLOCKS if b not in present], "block", place.start, None)
            yield from _words(["let"], "block", place.start, None)
        case "step":
            yield from (_step(name, place.start) for name in STEPS)
        case "statement":
            yield from _statements(place)
        case "header":
            yield from _words(VALUES.get((place.block, "", 0), ()), "word", place.start, place.block)
        case "target":
            yield from _targets(document, place)
        case "let":
            yield from _lets(document, place.start)
        case "argument":
            yield from _arguments(document, place)
        case "value":
            yield from _values(document, place)
        case _:
            return


def _words(words: Iterable[str], kind: ChoiceKind, start: int, section: str | None) -> Iterator[Choice]:
    for word in words:
        yield Choice(word, kind, start, "", _documentation(word.rstrip("(."), section or word))


def _documentation(word: str, section: str | None) -> str:
    return "\n\n".join(meaning.markdown for meaning in meanings(word, section)[:4])


def _step(name: str, start: int) -> Choice:
    form = f"{name}({', '.join(p.name for p in STEPS[name][:6])})"
    return Choice(
        f"{name}(" if STEPS[name] else f"{name}()", "step", start, form, _documentation(name, "preprocess")
    )


def _statements(place: Place) -> Iterator[Choice]:
    block = "postprocess" if place.block == "head" else place.block
    for name in HEAD if place.block == "head" else BLOCKS.get(place.block, {}):
        if name not in place.given or name == "require":
            home = block if name in BLOCKS[block] else "model"
            example = EXAMPLES.get((home, name), "")
            yield Choice(name, "statement", place.start, example, _documentation(name, home))


def _targets(document: Document, place: Place) -> Iterator[Choice]:
    for choice in _lets(document, place.start):
        if choice.text not in place.given:
            yield choice
    paths = [f"{block}.{name}" for block, statements in BLOCKS.items() for name in statements]
    paths += [f"quantize.require.{quantity}" for quantity in SPEEDS]
    for path in ("quantize", "preprocess", *paths):
        if path not in place.given:
            block, _, name = path.partition(".")
            text = _documentation(name.partition(".")[0] or block, block)
            yield Choice(path, "statement", place.start, EXAMPLES.get((block, name), ""), text)


def _paths(place: Place) -> Iterator[Choice]:
    """The statements of the block named before the dot, for a variant's targets."""
    block = place.parts[0]
    if place.kind == "target" and len(place.parts) == 1:
        for name in BLOCKS.get(block, {}):
            example = EXAMPLES.get((block, name), "")
            yield Choice(name, "statement", place.start, example, _documentation(name, block))


def _lets(document: Document, start: int) -> Iterator[Choice]:
    for name, value in document.scope.values.items():
        yield Choice(name, "let", start, "" if value is None else shown(value))


def _arguments(document: Document, place: Place) -> Iterator[Choice]:
    known = parameters(place.function, place.statement)
    parameter = place.keyword
    if parameter is None and place.index < len(known):
        parameter = known[place.index].name
    words = ARGUMENTS.get((place.function, parameter or ""), ())
    section = place.block or None
    yield from _words(words, "word", place.start, section)
    yield from _lets(document, place.start)
    if place.keyword is None:
        before = {p.name for p in known[: place.index]} if not place.given else set()
        for one in known:
            if one.name not in {*place.given, *before}:
                text = _documentation(place.function, section)
                yield Choice(f"{one.name}=", "parameter", place.start, place.function, text)


def _values(document: Document, place: Place) -> Iterator[Choice]:
    block, statement, index = place.block, place.statement, place.index
    if block == "variant":
        block, _, statement = statement.partition(".")
        index = 0
        if (block, statement) == ("quantize", "keep"):
            index = 1
    words = VALUES.get((block, statement, index), ())
    if (place.block, block) == ("variant", "postprocess") and HEAD.get(statement) == 0:
        words = ("true", "false")
    yield from _words(words, "word", place.start, block)
    if not words or statement in ("input", "corrections", "engines"):
        yield from _lets(document, place.start)


def _models(place: Place, kind: str) -> Iterator[Choice]:
    path = ".".join(place.parts[1:])
    start = place.start - len(path) - bool(path)
    for name in published_names(kind):
        if not path or name.startswith(f"{path}."):
            yield Choice(name, "model", start, kind)


def _files(document: Document, place: Place) -> Iterator[Choice]:
    """The entries of the folder that the string names so far; folders end in `/`, so that one can go on."""
    endings = _endings(place)
    text = place.text or ""
    if endings is None or "\\" in text:
        return
    typed, slash, _ = text.rpartition("/")
    start = place.start + len(typed) + len(slash)
    try:
        folder = document.path.parent / Path(f"{typed}{slash}").expanduser()
        entries = sorted(folder.iterdir())[:MAX_FILES]
        for entry in entries:
            name = json.dumps(entry.name, ensure_ascii=False)[1:-1]
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield Choice(f"{name}/", "folder", start)
            elif entry.suffix.lower() in endings:
                yield Choice(name, "file", start)
    except (OSError, ValueError, RuntimeError):
        return


def _endings(place: Place) -> tuple[str, ...] | None:
    """The endings of the files that a string may name, none for a folder's; `None` where it is no path."""
    if place.kind == "argument":
        known = parameters(place.function, place.statement)
        named = place.keyword or (known[place.index].name if place.index < len(known) else "")
        return FILES.get((place.function, named))
    if place.kind == "value":
        block, statement = place.block, place.statement
        if block == "variant":
            block, _, statement = statement.partition(".")
        return FILES.get((block, statement))
    return None
