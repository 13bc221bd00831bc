"""Files at addresses, by fsspec: what they are, their bytes, and what goes wrong on the way.

Credentials are fsspec's business (the environment, its configuration); nothing of them is kept here, and no
message has an address's query. A request has a time limit, and is repeated a few times, ever more slowly,
where the failure may pass: no answer, a connection cut, a server that is overloaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import Any

from ..errors import PackageError, SourceError
from .place import check_address, scheme_of, shown

__all__ = ["MissingError", "describe", "find", "read", "read_range", "retries_told"]

LIMIT_S = 30.0
"""Seconds that a request may take."""

LISTING_S = 600.0
"""Seconds that a listing may take, which is many requests where there are many files."""

TRIES = 4
PAUSE_S = 0.5
"""Seconds before the second try; twice as long before each further one."""

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "abfs": "adlfs",
    "az": "adlfs",
    "hf": "huggingface_hub",
    "sftp": "paramiko",
}
_MARKS = (
    "ETag",
    "etag",
    "md5Hash",
    "Content-MD5",
    "Digest",
    "checksum",
    "generation",
    "LastModified",
    "last_modified",
    "Last-Modified",
    "mtime",
    "updated",
)
"""What file systems of fsspec call that which changes with a file's bytes, the most telling first."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSED = frozenset({401, 403, 407})
_FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def _nobody(_: str) -> None:
    """No retry is told."""


_tell: Callable[[str], None] = _nobody


@contextmanager
def retries_told(tell: Callable[[str], None]) -> Iterator[None]:
    """Have `tell` called, on any thread, with a line for each request that is repeated."""
    global _tell  # noqa: PLW0603 - sources are plain data, which other processes read: there is no other way
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


def describe(address: str) -> tuple[int, str]:
    """Return a file's size in bytes (-1 if unknown) and its stamp (empty if there is none).

    Raises:
        SourceError: see `read`.
    """
    return facts_of(_call(address, "info"))


def facts_of(info: Mapping[str, Any]) -> tuple[int, str]:
    """Return size and stamp from what a file system says of a file."""
    size = info.get("size")
    mark = next((f"{name} {info[name]}" for name in _MARKS if info.get(name)), "")
    return (-1 if size is None else int(size)), mark


def read(address: str, most: int) -> bytes:
    """Return a file's bytes.

    Args:
        address: where it is.
        most: bytes, more than which are refused.

    Raises:
        SourceError: fsspec or its package for this scheme is missing (with the command that installs it), the
            host does not answer, or refuses for good.
        PackageError: there is no such file, it may not be read, or is too large.
    """
    try:
        content: bytes = _call(address, "cat_file", most=most)
    except MissingError as problem:
        raise PackageError(str(problem)) from None
    if len(content) > most:
        raise PackageError(f"{shown(address)}: more than {most >> 20} MiB; leave it out")
    return content


def read_range(address: str, offset: int, size: int) -> bytes:
    """Return `size` bytes from `offset` on, fewer at the file's end.

    Raises:
        SourceError: as `read`; the server gives whole files only.
    """
    content: bytes = _call(address, "cat_file", start=offset, end=offset + size)
    if len(content) > size:
        raise SourceError(_whole_only(address))
    return content


def find(address: str, *, pattern: bool) -> dict[str, tuple[int, str]]:
    """Return the files below a folder, or those that match a pattern: address to size and stamp.

    Raises:
        SourceError: as `read`, and there is no such bucket or folder.
    """
    found = _call(address, "glob" if pattern else "find", detail=True)
    file_system, _ = _open(address)
    return {
        str(file_system.unstrip_protocol(path)): facts_of(info)
        for path, info in found.items()
        if info.get("type") != "directory"
    }


class MissingError(SourceError):
    """There is no such file, or this one may not be read: what is beside it may."""


def _open(address: str) -> tuple[Any, str]:
    check_address(address)
    scheme = scheme_of(address) or ""
    needed = f"fsspec {_PACKAGES.get(scheme, '')}".rstrip()
    try:
        fsspec = import_module("fsspec")
    except ImportError:
        raise SourceError(f"{shown(address)}: fsspec is not installed; pip install {needed}") from None
    try:
        file_system, path = fsspec.url_to_fs(address)
    except ImportError:
        name = _PACKAGES.get(scheme, f"what fsspec needs for {scheme}://")
        raise SourceError(f"{shown(address)}: {name} is not installed; pip install {needed}") from None
    except ValueError:
        raise SourceError(
            f"{shown(address)}: fsspec knows no {scheme}://; write s3://, gs://, https:// or another that it "
            "knows"
        ) from None
    return file_system, path


def _call(address: str, method: str, **options: Any) -> Any:
    """One request, repeated where that may help."""
    file_system, path = _open(address)
    most, listing = options.pop("most", None), method in ("find", "glob")
    limit = LISTING_S if listing else LIMIT_S
    if method == "cat_file" and scheme_of(address) in ("http", "https"):
        work = partial(_http_bytes, file_system, path, most=most, **options)
        run = partial(_sync, file_system, work, limit)
    elif file_system.async_impl:
        run = partial(_sync, file_system, partial(getattr(file_system, f"_{method}"), path, **options), limit)
    else:
        run = partial(getattr(file_system, method), path, **options)
    for attempt in range(TRIES):
        try:
            return run()
        except Exception as problem:
            failure, passing = _failure(problem, address, limit)
            if not passing or attempt == TRIES - 1:
                raise failure from None
            pause = PAUSE_S * 2**attempt
            _tell(f"{failure}; tries again in {pause:g} s")
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _sync(file_system: Any, work: Callable[[], Any], limit: float) -> Any:
    return import_module("fsspec.asyn").sync(file_system.loop, work, timeout=limit)


async def _http_bytes(
    file_system: Any, url: str, start: int | None = None, end: int | None = None, most: int | None = None
) -> bytes:
    """As fsspec's own, but a server that ignores the range is not listened to, nor an endless answer."""
    headers = {} if start is None or end is None else {"Range": f"bytes={start}-{end - 1}"}
    session = await file_system.set_session()
    async with session.get(file_system.encode_url(url), headers=headers) as answer:
        if answer.status == 404:
            raise FileNotFoundError(url)
        answer.raise_for_status()
        if headers and answer.status != 206:
            raise SourceError(_whole_only(url))
        if most is None:
            return bytes(await answer.read())
        parts, size = [], 0
        async for part in answer.content.iter_chunked(1 << 20):
            parts.append(part)
            size += len(part)
            if size > most:
                break
        return b"".join(parts)


def _failure(problem: Exception, address: str, limit: float) -> tuple[SourceError, bool]:  # noqa: PLR0911 - one a case
    """What happened, for the user, and whether it may pass."""
    name = shown(address)
    cause = problem.__cause__
    if isinstance(problem, FileNotFoundError) and type(cause).__module__.startswith("aiohttp"):
        assert isinstance(cause, Exception), "of aiohttp"
        problem = cause  # fsspec says of all that goes wrong in `info` that there is no such file
    told = str(getattr(problem, "status", None) or getattr(problem, "code", None))
    status = int(told) if told.isdecimal() else None
    kind = type(problem).__name__
    if isinstance(problem, SourceError):
        return problem, False
    if isinstance(problem, FileNotFoundError) or status in (404, 410):
        return MissingError(f"{name}: no such file, folder or bucket; check the address"), False
    if isinstance(problem, PermissionError) or status in _REFUSED or "Credentials" in kind:
        why = "no credentials were found" if "Credentials" in kind else "access is denied"
        return MissingError(
            f"{name}: {why}; give fsspec credentials that may read and list it (in the environment, or "
            "in its configuration)"
        ), False
    if status is not None and status not in _PASSING and 400 <= status < 500:
        return SourceError(f"{name}: the server refuses ({status}); check the address"), False
    if status is not None and status >= 500:
        return SourceError(f"{name}: the server fails ({status}); try again later"), True
    if isinstance(problem, TimeoutError) or "Timeout" in kind:
        return SourceError(
            f"{name}: no answer within {limit:g} s; check the address and the network"
        ), limit < LISTING_S
    of_network = isinstance(problem, OSError | EOFError) and not isinstance(problem, _FINAL)
    if of_network or type(problem).__module__.partition(".")[0] in ("aiohttp", "botocore"):
        return SourceError(f"{name}: the connection fails ({_reason(problem)}); check the network"), True
    return SourceError(f"{name}: cannot be read ({_reason(problem)}); check the address"), False


def _reason(problem: Exception) -> str:
    """One line without credentials."""
    text = getattr(problem, "strerror", None) or str(problem).partition("\n")[0]
    return shown(text)[:200] or type(problem).__name__


def _whole_only(address: str) -> str:
    return (
        f"{shown(address)}: the server gives whole files only (it does not answer range requests), so that "
        "nothing in an archive can be found; download the archive first, or name the images one by one"
    )
