"""Places as people write them: paths, addresses, patterns and numbered shards, and what may be shown of them.

A place is a path, or an address such as `s3://bucket/val/*.jpg` whose scheme fsspec knows. An address may
carry credentials: in `user:password@`, or as a token in its query. The former are refused; the latter is used
and never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Literal

from ..errors import PackageError

__all__ = [
    "LIST",
    "Kind",
    "address_problem",
    "check_address",
    "check_place",
    "expand_braces",
    "fixed_part",
    "has_password",
    "has_query",
    "is_pattern",
    "is_remote",
    "kind_of",
    "mask",
    "scheme_of",
    "shown",
]

Kind = Literal["files", "tar", "zip", "parquet", "list"]

LIST = "list:"
"""Begins a place that is a text file of images, one a line."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]+)://")
_LOCAL = frozenset({"file", "local"})
_USER = re.compile(r"(?<=://)[^/\s\"']*@")
_PASSWORD = re.compile(r"://[^/\s\"']*:[^/\s\"']*@")
_QUERY = re.compile(
    r"(\bhttps?://[^\s\"'?]*)(\?[^\s\"'#]*)|([a-z0-9+.\-]{2}://[^\s\"'?]*)(\?[^\s\"'#]*=[^\s\"'#]*)",
    re.IGNORECASE,
)
"""Of `http` any query; elsewhere `?` is a pattern's, unless a `=` follows."""

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]+)\.\.([0-9]+)")
_PACKED = re.compile(r"\.(tgz|tbz2?|txz|tar\.(gz|bz2|xz|zst))$", re.IGNORECASE)
_ARCHIVES: tuple[Literal["tar", "zip", "parquet"], ...] = ("tar", "zip", "parquet")
_MOST_NAMES = 1_000_000


def scheme_of(place: str) -> str | None:
    """Return the scheme of an address in lower case; `None` for a path."""
    found = _SCHEME.match(place)
    return None if found is None else found[1].lower()


def is_remote(place: str) -> bool:
    """Tell whether a place is an address, or a list at an address, rather than a path."""
    return scheme_of(place.removeprefix(LIST)) is not None


def mask(text: str) -> str:
    """Return a text of the same length with the credentials of all addresses in it starred out."""
    text = _USER.sub(lambda found: "*" * (len(found[0]) - 1) + "@", text)
    return _QUERY.sub(lambda found: f"{found[1] or found[3]}?{'*' * (len(found[2] or found[4]) - 1)}", text)


def shown(text: str) -> str:
    """Return a place, or a text with addresses in it, without users, passwords and queries."""
    return _QUERY.sub(lambda found: found[1] or found[3], _USER.sub("", text))


def has_query(place: str) -> bool:
    """Tell whether an address has a query, which may be a token."""
    return _QUERY.search(place) is not None


def address_problem(place: str) -> str | None:
    """Return what is wrong with an address itself and the remedy; `None` for a sound one or a path."""
    scheme = scheme_of(place)
    if scheme is None:
        return None
    if "::" in place:
        return "a chain of file systems (`::`) is not read; name the archive itself, by its suffix"
    if scheme in _LOCAL:
        return f"{scheme}:// is this machine; name the path itself"
    if has_password(place):
        return (
            "credentials in an address end up in files and logs; leave them out and give them to fsspec: in "
            "the environment, or in its configuration"
        )
    return None


def has_password(place: str) -> bool:
    """Tell whether an address has `user:password@`, or of `http` any user: a token, more often than not."""
    return _PASSWORD.search(place) is not None or (
        scheme_of(place) in ("http", "https") and _USER.search(place) is not None
    )


def check_address(place: str) -> None:
    """Raise `PackageError` if an address is of this machine, a chain, or holds a user's password."""
    if (problem := address_problem(place)) is not None:
        raise PackageError(f"{shown(place)}: {problem}")


def expand_braces(place: str) -> Iterator[str]:
    """Yield the names that `{0000..0063}` and `{a,b}` stand for, in order; a place without braces itself.

    The numbers of a range are as wide as its ends are if one of them begins with a zero, as in bash.

    Raises:
        PackageError: a brace without its other half, neither a range nor alternatives, a range that falls,
            or a million names and more.
    """
    pieces: list[list[str]] = []
    end, count = 0, 1
    for found in _BRACES.finditer(place):
        pieces += [[_plain(place, place[end : found.start()])], _choices(place, found[1])]
        count *= len(pieces[-1])
        end = found.end()
        if count > _MOST_NAMES:
            raise PackageError(f"{shown(place)}: stands for over {_MOST_NAMES} names; write fewer")
    pieces.append([_plain(place, place[end:])])
    return map("".join, product(*pieces))


def _plain(place: str, text: str) -> str:
    if "{" in text or "}" in text:
        raise PackageError(
            f"{shown(place)}: a brace has no other half, or lies in another; numbered files are written "
            "{0000..0063}"
        )
    return text


def _choices(place: str, text: str) -> list[str]:
    found = _RANGE.fullmatch(text)
    if found is None:
        if "," in text and ".." not in text:
            return text.split(",")
        raise PackageError(
            f"{shown(place)}: {{{text}}} is neither a range of whole numbers, {{0000..0063}}, nor "
            "alternatives, {a,b}; correct it"
        )
    first, last = int(found[1]), int(found[2])
    if first > last:
        raise PackageError(
            f"{shown(place)}: {{{text}}} falls; write {{{found[2]}..{found[1]}}}, the smaller number first"
        )
    if last - first >= _MOST_NAMES:
        raise PackageError(f"{shown(place)}: {{{text}}} stands for over {_MOST_NAMES} names; write fewer")
    padded = any(end.startswith("0") and len(end) > 1 for end in found.groups())
    width = max(map(len, found.groups())) if padded else 0
    return [f"{number:0{width}d}" for number in range(first, last + 1)]


def is_pattern(place: str) -> bool:
    """Tell whether a place has a `*`, `?` or `[`; a `?` that begins a query does not count."""
    return any(char in shown(place) for char in ("*[" if scheme_of(place) in ("http", "https") else "*?["))


def fixed_part(pattern: str) -> str:
    """Return the folder that everything a pattern matches is below, with its `/`."""
    cut = min((pattern.find(char) for char in "*?[" if char in pattern), default=len(pattern))
    return pattern[: pattern.rfind("/", 0, cut) + 1]


def check_place(place: str) -> Kind:
    """Return what a place is, once it is seen to be well-formed; whether anything is there is another matter.

    Raises:
        PackageError: its address, its suffix or its braces are mistyped.
    """
    check_address(place.removeprefix(LIST))
    kind = kind_of(place)
    if kind == "list":
        return kind
    name = place.partition("#")[0]
    if kind != "files":
        expand_braces(name)
    elif "{" in name or "}" in name:
        raise PackageError(
            f"{shown(place)}: braces number archives (.tar, .zip, .parquet); name image files by a pattern, "
            "val/*.jpg"
        )
    return kind


def kind_of(place: str) -> Kind:
    """Return what a place is by its suffix: an archive, a table, a list; else files.

    Raises:
        PackageError: a compressed tar file, in which nothing can be found without reading all of it.
    """
    if place.startswith(LIST):
        return "list"
    name = shown(place).partition("#")[0].lower()
    if _PACKED.search(name):
        raise PackageError(
            f"{shown(place)}: images cannot be read singly from a compressed tar file; unpack it to a plain "
            ".tar (JPEG files hardly become smaller)"
        )
    for kind in _ARCHIVES:
        if name.endswith(f".{kind}"):
            return kind
    return "files"
