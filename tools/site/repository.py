"""Files outside of docs/ that pages link to become part of the site, and links to them lead there.

Markdown files become pages under `repository/`, other files are copied. The README is the home page. A link
in a page means what it means in the repository, so that it works on both sides.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

__all__ = ["ROOT", "on_files", "on_page_markdown", "targets"]

ROOT = Path(__file__).resolve().parents[2]

_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=[)\s])")
_INLINE_CODE = re.compile(r"(`+)(?:.(?!\n\n))*?\1", re.DOTALL)
_HOME = "index.md"
_FIRST = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")


def on_files(files: Any, config: Any) -> Any:
    """Add what is linked to, and what that links to."""
    waiting = [*_FIRST]
    for file in files.documentation_pages():
        if file.src_path and not file.generated_by:
            waiting += _outside(f"docs/{file.src_uri}", file.content_string)
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        at = _HOME if path == "README.md" else f"repository/{path}"
        if path.endswith(".md"):
            text = (ROOT / path).read_text(encoding="utf-8")
            files.append(File.generated(config, at, content=text))
            waiting += _outside(path, text)
        else:
            files.append(File.generated(config, at, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Turn links into the repository into links within the site."""
    here = page.file.src_uri
    origin = "README.md" if here == _HOME else here.removeprefix("repository/")
    if origin == here:
        origin = f"docs/{here}"

    def rewrite(link: str) -> str:
        path, hash_, anchor = link.partition("#")
        target = _in_repository(origin, path)
        if target is None:
            return link
        uri = _HOME if target == "README.md" else f"repository/{target}"
        if target.startswith("docs/"):
            uri = target.removeprefix("docs/")
        return posixpath.relpath(uri, posixpath.dirname(here) or ".") + hash_ + anchor

    return _over_links(markdown, rewrite)


def targets(text: str) -> list[str]:
    """Return what the links of a Markdown text lead to."""
    found: list[str] = []

    def keep(link: str) -> str:
        found.append(link)
        return link

    _over_links(text, keep)
    return found


def _over_links(text: str, change: Callable[[str], str]) -> str:
    """`text` with every link changed; code is left as it is."""
    code = [match.span() for match in _INLINE_CODE.finditer(text)]

    def one(match: re.Match[str]) -> str:
        inside = any(start < match.start() < end for start, end in code)
        return match[0] if inside else change(match[0])

    return _LINK.sub(one, text)


def _outside(origin: str, text: str) -> list[str]:
    linked = (_in_repository(origin, link.partition("#")[0]) for link in targets(text))
    return [path for path in linked if path is not None and not path.startswith("docs/")]


def _in_repository(origin: str, link: str) -> str | None:
    """The file that a link of the file `origin` leads to, or `None` where it leads elsewhere or nowhere."""
    if not link or ":" in link or link.startswith("/"):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    if path.startswith(".."):
        return None
    if path == "docs/errors":
        return "docs/errors/index.md"
    if (ROOT / path).is_dir():
        path += "/README.md"
    return path if (ROOT / path).is_file() else None
