"""The pages behind `zooc explain`."""

from __future__ import annotations

import difflib
import re

from zooc.resources import resource

__all__ = ["explain", "known_codes", "near_codes"]


def known_codes() -> list[str]:
    """Return every code that has a page, sorted."""
    return sorted(page.stem for page in resource("docs/errors").glob("Z[0-9][0-9][0-9][0-9].md"))


def explain(code: str) -> str | None:
    """Return the page of `code` as Markdown; `None` when there is no such code."""
    code = code.strip().upper()
    if not re.fullmatch(r"Z[0-9]{4}", code):
        return None
    page = resource("docs/errors") / f"{code}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else None


def near_codes(code: str) -> list[str]:
    """Return up to three codes that look like `code`, the nearest first."""
    digits = code.strip().upper().removeprefix("Z")
    if not (digits.isascii() and digits.isdigit()):
        return difflib.get_close_matches(code.strip().upper(), known_codes(), n=3, cutoff=0.6)
    wanted = int(digits[:9])
    return sorted(known_codes(), key=lambda known: abs(int(known[1:]) - wanted))[:3]
