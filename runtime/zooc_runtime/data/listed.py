"""Lists of images: a text file with a path or an address a line, and perhaps a label.

A line is `path`, `path label` or, where there is a tab, `path<TAB>label`. Without a tab a line that ends in
the suffix of an image is a path, blanks and all. A relative path is relative to the list's folder. Lines may
end in CR LF; blank ones do not count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ..errors import SourceError
from . import files, remote
from .place import address_problem, is_remote, scheme_of, shown
from .source import ImageSource, Item, has_suffix, parent_of

__all__ = ["ListedImages"]

_MOST_LINE = 1 << 16
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ListedImages(ImageSource):
    """The images that a list names, in its order; only those drawn are looked at."""

    place: str = field(repr=False)
    suffix: str | None = None
    remote: bool = False

    @classmethod
    def of(cls, place: str, suffix: str | None) -> ListedImages:
        """Return the source; it is remote if the list's first image is."""
        source = cls(place, suffix)
        first = next(source.items(), None)
        return source if first is None else replace(source, remote=is_remote(first.at[0]))

    @property
    def where(self) -> str:  # type: ignore[override]
        """The list."""
        return shown(self.place)

    def items(self) -> Iterator[Item]:
        """Yield the images; see `ImageSource.items`."""
        with files.open_file(self.place) as file:
            number = 0
            while line := file.readline(_MOST_LINE):
                number += 1
                text = self._text(line.removeprefix(_BOM) if number == 1 else line, number)
                if text and (item := self._item(text, number)) is not None:
                    yield item

    def read(self, item: Item) -> bytes:
        """Return an image file's bytes."""
        return files.read_file(item.at[0], item.size)

    def title(self, item: Item) -> str:
        """Return the image's own place."""
        return shown(item.at[0])

    def unlabelled(self) -> str:
        """Return what would give labels."""
        return "write lines of `path label`, or give --truth"

    def _stamped(self, item: Item) -> Item:
        """With size and stamp; a line that names nothing is a mistake in the list."""
        place, number = item.at
        try:
            size, stamp = files.describe(place)
        except SourceError as problem:
            if is_remote(place) and not isinstance(problem, remote.MissingError):
                raise
            raise SourceError(f"{self.where}:{number}: {problem}; correct the list") from None
        return super()._stamped(replace(item, size=size, stamp=stamp))

    def _refuse_repeats(self, items: object) -> None:
        seen: dict[str, int] = {}
        for item in items:  # type: ignore[attr-defined]
            place, number = item.at
            if (first := seen.setdefault(place, number)) != number:
                raise SourceError(
                    f"{self.where}: lines {first} and {number} are the same image, {shown(place)}; name each "
                    "image once"
                )

    def _text(self, line: bytes, number: int) -> str:
        if len(line) == _MOST_LINE:
            raise SourceError(
                f"{self.where}:{number}: a line of more than {_MOST_LINE} bytes; is this a list?"
            )
        try:
            return line.decode("utf-8").strip("\r\n \t")
        except UnicodeDecodeError:
            raise SourceError(f"{self.where}:{number}: is not UTF-8; save the list as UTF-8") from None

    def _item(self, text: str, number: int) -> Item | None:
        path, label = _parts(text)
        if "\0" in path:
            raise SourceError(f"{self.where}:{number}: holds a NUL character; is this a list of images?")
        if self.suffix is not None and not has_suffix(path, self.suffix):
            return None
        address = "://" in path and scheme_of(path) is not None
        place = self._address(path, number) if address else self._below(path, number)
        name = shown(path) if address else path.removeprefix("./").replace(os.sep, "/")
        return Item(name, (place, number), folder=parent_of(name), label=label)

    def _address(self, path: str, number: int) -> str:
        own = scheme_of(self.place)
        problem = address_problem(path)
        if problem is None and own is not None and scheme_of(path) not in (None, own, "http", "https"):
            problem = f"a list at {own}:// names images at {own}:// or https://"
        if problem is not None:
            raise SourceError(f"{self.where}:{number}: {shown(path)}: {problem}")
        return path

    def _below(self, path: str, number: int) -> str:
        """Below the list's folder, or as it is; a list from elsewhere names nothing on this machine."""
        if not is_remote(self.place):
            folder = os.path.dirname(self.place)  # noqa: PTH120 - Path takes longer than all the rest
            return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118
        if path.startswith(("/", "~")) or ".." in path.split("/"):
            raise SourceError(
                f"{self.where}:{number}: {path}: leads out of the list's folder; write a path below it, or "
                "an address"
            )
        return f"{shown(self.place).rpartition('/')[0]}/{path}"


def _parts(text: str) -> tuple[str, str | None]:
    if "\t" in text:
        path, _, label = text.partition("\t")
        return path.strip(), label.strip() or None
    path, _, label = text.rpartition(" ")
    if not path or has_suffix(text, None):
        return text, None
    return path.strip(), label
