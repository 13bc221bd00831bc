"""What the words of the language mean: the tables of `docs/language.md`, which is their only source.

Every statement, step and parameter has a row there: the first cell has the word as it is written, the second
says what it does. `zooc explain WORD` and the editor's hover show these rows.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from zooc.resources import resource

__all__ = ["Meaning", "known_words", "meanings"]

_HEADING = re.compile(r"(##+) (.*)")
_EXAMPLE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]*)`")
_WORD = re.compile(r"[A-Za-z_]\w*")
_STRING = re.compile(r'"[^"]*"')
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_CELLS = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Meaning:
    """One row of a table, a section's first paragraph, or a paragraph that begins with a word as code.

    Attributes:
        section: the page's heading that it stands under, such as `quantize`.
        heads: the words that it is about.
        mentioned: every other word that it shows as code.
        written: how the thing is written, in Markdown; empty for a paragraph.
        text: what it does, in Markdown without links.
    """

    section: str
    heads: frozenset[str]
    mentioned: frozenset[str]
    written: str
    text: str

    @property
    def markdown(self) -> str:
        """Return the meaning as one paragraph."""
        return f"{self.written}: {self.text}" if self.written else self.text


def meanings(word: str, section: str | None = None) -> tuple[Meaning, ...]:
    """Return what is written about `word`, none where the page does not know it.

    Rows about the word itself come before those that only mention it; with `section` (a block's name) the
    rows of that section alone count, if there are any.
    """
    rows = _rows()
    for found in ([r for r in rows if word in r.heads], [r for r in rows if word in r.mentioned]):
        if found:
            return tuple([row for row in found if row.section == section] or found)
    return ()


def known_words() -> list[str]:
    """Return every word that has a row or a section of its own, sorted."""
    return sorted({word for row in _rows() for word in row.heads})


@functools.lru_cache(maxsize=1)
def _rows() -> tuple[Meaning, ...]:
    rows: list[Meaning] = []
    section, opens = "", False
    page = _EXAMPLE.sub("", resource("docs/language.md").read_text(encoding="utf-8"))
    for paragraph in re.split(r"\n{2,}", page):
        if (heading := _HEADING.fullmatch(paragraph.strip())) is not None:
            section, opens = (heading[2], True) if heading[1] == "##" else (section, False)
        elif paragraph.startswith("|"):
            for line in paragraph.splitlines():
                rows += _row(section, *(cell.strip() for cell in _CELLS.split(line.strip("| "))))
        elif paragraph[:1] not in ("", " "):
            rows += _about(section if opens else None, section, _plain(" ".join(paragraph.split())))
            opens = False
    return tuple(rows)


def _about(block: str | None, section: str, text: str) -> list[Meaning]:
    """A paragraph says what the block is whose section it opens, or the word that it begins with."""
    begins = re.match(r"`([A-Za-z_]\w*)", text)
    named = block if block and block.isidentifier() and block.islower() else None
    heads = frozenset(word for word in (named, begins and begins[1]) if word)
    return [Meaning(section, heads, _words(_CODE.findall(text)), "", text)] if heads else []


def _row(section: str, written: str, text: str) -> list[Meaning]:
    codes = _CODE.findall(written)
    heads = frozenset(found[0] for code in codes if (found := _WORD.match(code)))
    if not heads:
        return []
    return [Meaning(section, heads, _words(_CODE.findall(f"{written} {text}")), written, _plain(text))]


def _words(codes: Iterable[str]) -> frozenset[str]:
    return frozenset(word for code in codes for word in _WORD.findall(_STRING.sub("", code)))


def _plain(text: str) -> str:
    return _LINK.sub(r"\1", text)
