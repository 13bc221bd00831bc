"""The changes that a finding's "did you mean" offers."""

from __future__ import annotations

import re

from zooc.diagnostics.diagnostic import Diagnostic

__all__ = ["replacements"]

_QUOTED = re.compile(r"`([^`]+)`")
_TOKEN = re.compile(r'"[^"\n]*"|[\w.]+')


def replacements(finding: Diagnostic) -> list[str]:
    """Return the texts that may stand at the finding's place instead, the likeliest first; often none.

    A string stays in quotes, and a file stays in its folder.
    """
    hint, span = finding.hint, finding.span
    if hint is None or span is None or not hint.startswith("did you mean") or not _TOKEN.fullmatch(span.text):
        return []
    words = _QUOTED.findall(hint)
    if not span.text.startswith('"'):
        return words
    folder, slash, _ = span.text[1:-1].rpartition("/")
    return [f'"{folder}{slash}{word}"' for word in words]
