"""A `*` in the navigation of mkdocs.yml stands for the pages of a folder that nothing else names.

So a new page is in the site without a change there. Pages come in the order of their titles.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["on_config"]


def on_config(config: Any) -> Any:
    """Replace each `FOLDER/*`, and `*` for the top folder, by pages."""
    docs = Path(config["docs_dir"])
    named = {page for page in _leaves(config["nav"]) if not page.endswith("*")}
    config["nav"] = _expanded(config["nav"], docs, named)
    return config


def _leaves(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [leaf for part in parts for leaf in _leaves(part)]


def _expanded(nav: list[Any], docs: Path, named: set[str]) -> list[Any]:
    result: list[Any] = []
    for entry in nav:
        if isinstance(entry, dict):
            result.append({title: _expanded(part, docs, named) for title, part in entry.items()})
        elif entry.endswith("*"):
            folder = docs / entry.removesuffix("*")
            result += [
                page.relative_to(docs).as_posix()
                for page in sorted(folder.glob("*.md"), key=_title)
                if page.relative_to(docs).as_posix() not in named
            ]
        else:
            result.append(entry)
    return result


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0]
