"""Where the images of `images(...)` are: a folder, archives, a list, here or at an address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from zooc.diagnostics.diagnostic import Span, error
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc_runtime.data.place import (
    LIST,
    check_place,
    expand_braces,
    has_password,
    has_query,
    is_pattern,
    is_remote,
    shown,
)
from zooc_runtime.errors import PackageError

__all__ = ["CREDENTIALS", "read_place", "secret_in"]

CREDENTIALS = "give credentials to fsspec: in the environment, or in its configuration"
"""The remedy."""

_FOLDER = "the folder of images"
_LIST = "the list of images"
_ARCHIVE = "the archive of images"


def read_place(
    bound: Mapping[str, ast.Expr], span: Span, reader: Reader, if_missing: str | None = None
) -> Path | str | None:
    """Return the folder, or the text of any other source with its paths made absolute; `None` after an error.

    Nothing is looked up at an address, so that a check needs no network.

    Args:
        bound: the call's arguments, `folder` or `list` among them.
        span: of the statement.
        reader: reads and reports.
        if_missing: the note of the warning, in place of the error, for what is not there.
    """
    node = _node(bound, span, reader)
    text = None if node is None else reader.string(node, _LIST if "list" in bound else _FOLDER)
    if node is None or text is None:
        return None
    if (secret := secret_in(text)) is not None:
        reader.report(error("Z0328", secret, node.span, hint=CREDENTIALS))
        return None
    if "list" in bound:
        return _list(text, node, reader, if_missing)
    if is_remote(text):
        return text if _is_sound(text, node, reader) else None
    if not _is_special(text) or _absolute(text, reader).is_dir():
        return reader.path(node, _FOLDER, folder=True, if_missing=if_missing)
    return _archives(text, node, reader, if_missing) if _is_sound(text, node, reader) else None


def _list(text: str, node: ast.Expr, reader: Reader, if_missing: str | None) -> str | None:
    if is_remote(text):
        return LIST + text if _is_sound(LIST + text, node, reader) else None
    path = reader.path(node, _LIST, if_missing=if_missing)
    return None if path is None else f"{LIST}{path}"


def _node(bound: Mapping[str, ast.Expr], span: Span, reader: Reader) -> ast.Expr | None:
    if ("list" in bound) != ("folder" in bound):
        return bound["list" if "list" in bound else "folder"]
    both = "list" in bound
    message = "`images` takes a folder or a `list`, not both" if both else "`images` lacks its `folder`"
    notes = ("its form is `images(folder, suffix, count, seed)` or `images(list=file, count, seed)`",)
    reader.report(error("Z0114", message, bound["list"].span if both else span, notes=notes))
    return None


def secret_in(text: str) -> str | None:
    """Return what is said of an address that holds credentials; `None` of any other place."""
    if has_password(text):
        return "the address of the images holds a user or a password, which would end up in every package"
    if has_query(text):
        return (
            "the address of the images has a query, which may hold a token and would end up in every package"
        )
    return None


def _is_special(text: str) -> bool:
    """Whether a path is anything but a folder's."""
    name = text.partition("#")[0].lower()
    return (
        is_pattern(text)
        or "{" in text
        or "}" in text
        or name.endswith((".tar", ".zip", ".parquet", ".tgz"))
        or ".tar." in name
    )


def _is_sound(text: str, node: ast.Expr, reader: Reader) -> bool:
    try:
        check_place(text)
    except PackageError as problem:
        message, _, hint = str(problem).removeprefix(f"{shown(text)}: ").partition("; ")
        reader.report(error("Z0327", message, node.span, hint=hint or None))
        return False
    return True


def _archives(text: str, node: ast.Expr, reader: Reader, if_missing: str | None) -> str | None:
    name, mark, choice = text.partition("#")
    place = _absolute(name, reader)
    if not (is_pattern(name) or place.is_file()):
        gone = next((one for one in expand_braces(name) if not _absolute(one, reader).is_file()), None)
        if gone is not None and reader.existing(gone, node.span, _ARCHIVE, if_missing) is None:
            return None
    return f"{place}{mark}{choice}"


def _absolute(text: str, reader: Reader) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # a home folder that nobody has: it is missed under the name it was given
        path = Path(text)
    return Path(os.path.normpath(reader.folder / path))
