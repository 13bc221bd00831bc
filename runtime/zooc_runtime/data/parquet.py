"""Parquet files with a column of images, as Hugging Face's `datasets` writes them.

Such a column is a struct of `bytes` and `path`, or plain binary. `datasets` keeps its features in the
schema's metadata, under `huggingface`, the names of a `ClassLabel` among them
(https://huggingface.co/docs/datasets/about_dataset_features). A column is chosen by
`FILE.parquet#image=COLUMN&label=COLUMN` where it cannot be guessed.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from ..errors import PackageError, SourceError
from . import files
from .kept import Kept
from .place import shown
from .shards import Member, Shards, Table
from .source import Item

__all__ = ["ParquetTables"]

_IMAGES = ("image", "img", "jpg", "png", "picture")
_LABELS = ("label", "labels", "cls", "class", "target", "fine_label", "category")
_CHOICES = ("image", "label")
_MOST_GROUP = 1 << 30
"""Bytes of a row group."""

_groups: Kept[list[bytes | None]] = Kept(4)


@dataclass(frozen=True)
class ParquetTables(Shards):
    """The images of one Parquet file or several, a row each, with their labels.

    Attributes:
        columns: the image's and the label's, where they were named; empty to guess.
    """

    columns: tuple[str, str] = ("", "")
    kind: ClassVar[str] = "Parquet file"

    @classmethod
    def of(cls, shards: tuple[str, ...], where: str, suffix: str | None, choice: str) -> ParquetTables:
        """Return the source for `FILE#choice`.

        Raises:
            PackageError: a choice that is none of `image=` and `label=`.
        """
        found = dict(parse_qsl(choice))
        if choice and (not found or set(found) - set(_CHOICES)):
            raise PackageError(f"{where}: #{choice} chooses nothing; write #image=COLUMN&label=COLUMN")
        return cls(shards, where, suffix, (found.get("image", ""), found.get("label", "")))

    def table(self, shard: str) -> Table:
        """Return the rows in order, of their images the names alone. See `Shards.table`."""
        with _opened(shard) as file:
            return tuple(_rows(file, _Columns.of(file, shard, self.columns)))

    def is_image(self, member: Member) -> bool:
        """Tell whether a row is asked for: any, or with a suffix those whose path has it."""
        return self.suffix is None or super().is_image(member)

    def read(self, item: Item) -> bytes:
        """Return the bytes of a row's image; the row group it lies in is kept for its neighbours."""
        shard, group, row = item.at[:3]
        key = shard, self.columns, group, item.stamp.partition(" (")[0]
        content: bytes | None = _groups.get(key, lambda: _group(shard, self.columns, group))[row]
        if content is None:
            raise PackageError(f"{self.title(item)}: the row has no image; leave it out")
        if len(content) > files.MOST_BYTES:
            raise PackageError(f"{self.title(item)}: {len(content) >> 20} MiB are no image; leave it out")
        return content

    def unlabelled(self) -> str:
        """Return that there is no column of labels, and which there are."""
        with _opened(self.shards[0]) as file:
            columns = ", ".join(file.schema_arrow.names)
        return (
            f"{self.where} has no column of labels that could be guessed (its columns are {columns}); name "
            f"one, {self.where.partition('#')[0]}#label=COLUMN, or give --truth"
        )

    @property
    def key(self) -> Hashable:
        """The columns too."""
        return self.kind, self.columns


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is read: the image's bytes, its path, its label, and the names that labels stand for."""

    content: str
    path: str | None
    label: str | None
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, file: Any, shard: str, chosen: tuple[str, str]) -> _Columns:
        schema = file.schema_arrow
        features = _features(schema)
        image = _image_column(schema, shard, chosen[0])
        kind = schema.field(image).type
        parts = {kind.field(i).name for i in range(kind.num_fields)}
        label = chosen[1] or next(
            (name for name in features if features[name].get("_type") == "ClassLabel"),
            next((name for name in _LABELS if name in schema.names), None),
        )
        if chosen[1] and label not in schema.names:
            raise SourceError(_no_column(shard, f"no column {chosen[1]!r}", schema, "label"))
        names = tuple(map(str, features.get(label or "", {}).get("names") or ()))
        if not parts:
            return cls(image, None, label, names)
        return cls(f"{image}.bytes", f"{image}.path" if "path" in parts else None, label, names)


def _rows(file: Any, columns: _Columns) -> Iterator[Member]:
    wanted = [name for name in (columns.path, columns.label) if name is not None]
    number = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        paths: list[str | None] = [None] * count
        labels: list[Any] = [None] * count
        if wanted:
            table = file.read_row_group(group, columns=wanted)
            if columns.path is not None:
                structs = table.column(columns.path.removesuffix(".path")).to_pylist()
                paths = [None if one is None else one["path"] for one in structs]
            if columns.label is not None:
                labels = table.column(columns.label).to_pylist()
        for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
            name = f"{number:06d}/{path}" if path else f"{number:06d}"
            yield Member(name, (group, row), label=_label(label, columns.names))
            number += 1


def _label(value: Any, names: tuple[str, ...]) -> str | None:
    if value is None or (isinstance(value, int) and value < 0):
        return None
    if isinstance(value, int) and value < len(names):
        return names[value]
    return str(value)


def _group(shard: str, chosen: tuple[str, str], group: int) -> list[bytes | None]:
    """The images of a row group, of which `datasets` writes a hundred rows each."""
    with _opened(shard) as file:
        columns = _Columns.of(file, shard, chosen)
        size = file.metadata.row_group(group).total_byte_size
        if size > _MOST_GROUP:
            raise SourceError(
                f"{shown(shard)}: row groups of {size >> 20} MiB, one of which is read whole for an image; "
                "write the file again with row_group_size=100"
            )
        name = columns.content.removesuffix(".bytes")
        found: list[Any] = file.read_row_group(group, columns=[columns.content]).column(name).to_pylist()
    if columns.content == name:
        return found
    return [None if one is None else one["bytes"] for one in found]


@contextmanager
def _opened(shard: str) -> Iterator[Any]:
    try:
        pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise SourceError(f"{shown(shard)}: pyarrow is not installed; pip install pyarrow") from None
    with files.open_file(shard) as file:
        try:
            with parquet.ParquetFile(file) as opened:
                yield opened
        except (pyarrow.ArrowException, OSError, ValueError, KeyError) as problem:
            reason = str(problem).partition("\n")[0]
            raise SourceError(
                f"{shown(shard)}: not a Parquet file, damaged or cut short ({reason}); fetch or make it again"
            ) from None


def _features(schema: Any) -> dict[str, Any]:
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: one for name, one in found.items() if isinstance(one, dict)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _image_column(schema: Any, shard: str, chosen: str) -> str:
    fit = [field.name for field in schema if _holds_images(field.type)]
    if chosen:
        if chosen in fit:
            return chosen
        problem = f"column {chosen!r} holds no images" if chosen in schema.names else f"no column {chosen!r}"
        raise SourceError(_no_column(shard, problem, schema, "image"))
    named = [name for name in _IMAGES if name in fit]
    if named or len(fit) == 1:
        return (named or fit)[0]
    problem = "no column of images" if not fit else f"several columns may be images: {', '.join(fit)}"
    raise SourceError(_no_column(shard, problem, schema, "image"))


def _no_column(shard: str, problem: str, schema: Any, what: str) -> str:
    import difflib

    near = difflib.get_close_matches(problem.partition("'")[2].rstrip("'"), schema.names, 1)
    maybe = f" (did you mean {near[0]}?)" if near else ""
    return (
        f"{shown(shard)}: {problem}{maybe}; its columns are {', '.join(schema.names)}; an image is a struct "
        f"of bytes and path, or binary; name its column: {shown(shard).rpartition('/')[2]}#{what}=COLUMN"
    )


def _holds_images(kind: Any) -> bool:
    types = import_module("pyarrow.types")

    def binary(one: Any) -> bool:
        return bool(types.is_binary(one) or types.is_large_binary(one))

    if types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return any(field.name == "bytes" and binary(field.type) for field in fields)
    return binary(kind)
