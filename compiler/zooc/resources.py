"""The one place that finds the data files: grammar, templates and the error pages.

In a wheel they lie inside the package, in an editable install in the checkout, two folders up.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["resource"]

_PACKAGE = Path(__file__).resolve().parent
_ROOTS = (_PACKAGE, _PACKAGE.parent.parent)


def resource(relative: str) -> Path:
    """Return absolute path of a data file or folder such as `grammar/zooc.lark`.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for root in _ROOTS:
        if (candidate := root / relative).exists():
            return candidate
    raise FileNotFoundError(f"zooc's installation lacks {relative}; reinstall zooc")
