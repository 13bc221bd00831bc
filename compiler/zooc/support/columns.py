"""Text in columns, as tables are written: blanks between them, `#` before a comment, names as they are.

A name with blanks, quotes or a `#` is written as a JSON string.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from zooc.diagnostics.diagnostic import SourceFile, Span

__all__ = ["quoted", "table_rows", "unquoted"]

_PLAIN = re.compile(r'[^\s"#][^\s#]*')
_TOKEN = re.compile(r'"(?:[^"\\\n]|\\.)*"|[^\s#]+')


def table_rows(source: SourceFile) -> Iterator[list[Span]]:
    """Yield the columns of every line that has some, without comments."""
    for number, start in enumerate(source.line_starts, 1):
        text, place, found = source.line(number), 0, list[Span]()
        while (match := _TOKEN.search(text, place)) is not None:
            if "#" in text[place : match.start()]:
                break
            found.append(Span(source, start + match.start(), start + match.end()))
            place = match.end()
        if found:
            yield found


def quoted(name: str) -> str:
    """Return a name as one column."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def unquoted(column: Span) -> str:
    """Return what stands in a column.

    Raises:
        ValueError: it begins like a JSON string and is none.
    """
    return str(json.loads(column.text)) if column.text.startswith('"') else column.text
