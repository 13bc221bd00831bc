"""The images of a source as an evaluation takes them: with names for messages, and their classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ..data.elsewhere import Sendable
from ..data.folder import LocalFolder
from ..data.source import ImageSource, Item
from ..errors import PackageError
from .ground_truth import Classes, by_class_folders, by_label_file, by_synsets, label_sets, sides_by_folders

__all__ = ["LabelledImages", "by_own_labels"]


@dataclass(frozen=True)
class LabelledImages:
    """All or some images of a source.

    Attributes:
        source: where they come from.
        items: the images in it, in order.
        found: how many the source has.
    """

    source: ImageSource
    items: Sequence[Item]
    found: int

    @classmethod
    def of(cls, source: ImageSource, count: int | None = None) -> LabelledImages:
        """Return all images of a source, or a draw of `count`.

        Raises:
            SourceError: it cannot be read.
        """
        return cls(source, *source.draw(count))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def images(self) -> Sequence[Sendable]:
        """What `decode` takes; of a local folder the paths, as text."""
        if self._root is not None:
            return [self.source.title(item) for item in self.items]
        return [self.source.image(item) for item in self.items]

    @property
    def names(self) -> list[str]:
        """The images' paths in a local folder, else their names in the source."""
        if self._root is not None:
            return [self.source.title(item) for item in self.items]
        return [item.name for item in self.items]

    def class_folders(self) -> list[str]:
        """Return each image's class as it is told apart from others': its own label, or the first folder.

        It is empty where there is neither.
        """
        return [item.folder if item.label is None else item.label for item in self.items]

    def class_ids(self, classes: Classes, truth: str | None = None, synsets: str | None = None) -> list[int]:
        """Return the true class ids.

        Args:
            classes: what is known of them.
            truth: a file of `name id` to take them from.
            synsets: names the file of `classes.synsets`, in which the images' own folders are looked up.

        Raises:
            PackageError: an image has no class, or one that does not fit.
        """
        if truth is not None:
            return by_label_file(self.names, truth, classes, self._root)
        if self._has_labels:
            return by_own_labels(self.items, self.source, classes)
        if synsets is not None:
            return by_synsets(self.names, classes.synsets, synsets)
        self._check_labelled()
        if len(self.items) < self.found:  # the sorted order of the folders is that of all
            first = {item.folder: self.source.title(item) for item in self.source.items()}
            ids = dict(zip(first, by_class_folders(list(first.values()), list(first), classes), strict=True))
            return [ids[item.folder] for item in self.items]
        return by_class_folders(self.names, self.class_folders(), classes)

    def class_sets(
        self, classes: Classes, truth: str | None = None, synsets: str | None = None
    ) -> list[frozenset[int]]:
        """Return the sets of true class ids of images that may have several; see `class_ids`.

        Raises:
            PackageError: as `class_ids`.
        """
        if truth is not None:
            return label_sets(self.names, truth, classes, self._root)
        if classes.count == 1 and synsets is None:
            self._check_labelled()
            label = classes.labels[0] if classes.labels else None
            return sides_by_folders(self.class_folders(), label, self.source.where)
        return [frozenset({index}) for index in self.class_ids(classes, None, synsets)]

    @property
    def kind_of_labels(self) -> str:
        """Where `class_ids` takes them from, without a file, in words."""
        return "the source's own labels" if self._has_labels else "class folders"

    @property
    def _root(self) -> str | None:
        return self.source.where if isinstance(self.source, LocalFolder) else None

    @property
    def _has_labels(self) -> bool:
        return any(item.label is not None for item in self.items)

    def _check_labelled(self) -> None:
        if self._root is None and not any(self.class_folders()):
            raise PackageError(f"{self.source.where}: the images have no classes; {self.source.unlabelled()}")


def by_own_labels(items: Sequence[Item], source: ImageSource, classes: Classes) -> list[int]:
    """Return class ids from what the source itself says.

    If the synsets, or else the class names, have every label exactly once, they decide; else whole numbers
    are class ids.

    Raises:
        PackageError: an image without a label, or one that is neither.
    """
    bare = next((item for item in items if item.label is None), None)
    if bare is not None:
        raise PackageError(f"{source.title(bare)}: has no label, but others have; {source.unlabelled()}")
    words = [item.label or "" for item in items]
    for names in (classes.synsets, classes.labels):
        times = Counter(names)
        if names and all(times[word] == 1 for word in set(words)):
            ids = {name: index for index, name in enumerate(names)}
            return [ids[word] for word in words]
    limit = classes.count
    for item, word in zip(items, words, strict=True):
        if not (word.isascii() and word.isdecimal()) or int(word) >= (limit or int(word) + 1):
            known = f"a class id below {limit}" if limit else "a class id"
            raise PackageError(
                f"{source.title(item)}: its label {word!r} is neither {known} nor one class's name; "
                "correct it, or give --truth"
            )
    return [int(word) for word in words]
