"""Images of remote sources read a few ahead of whoever takes them, on threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Generic, TypeVar

from .source import NamedImage, StoredImage
from .threads import Threads

__all__ = ["ReadAhead"]

T = TypeVar("T")

_THREADS = 16
_AHEAD = 32
"""Images that are being read or wait, at most: bounds the memory, a few megabytes of JPEG files."""


class ReadAhead(Generic[T]):
    """The same images in the same order; those of remote sources are on their way when they come.

    Others pass as they are. Leaving the block, by Ctrl-C say, lets everybody go who waits for an image.
    """

    def __init__(self, images: Iterable[T]) -> None:
        self._images = iter(images)
        self._threads: Threads[bytes] = Threads(_THREADS)
        self._waiting: deque[T | _Coming] = deque()

    def __enter__(self) -> ReadAhead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Let everybody go who waits for an image; none is read any more."""
        self._threads.stop()

    def __iter__(self) -> Iterator[T | _Coming]:
        return self

    def __next__(self) -> T | _Coming:
        for image in self._images:
            if not (isinstance(image, StoredImage) and image.source.remote):
                if not self._waiting:
                    return image
                self._waiting.append(image)
            else:
                self._waiting.append(_Coming(image, self._threads.submit(image.read)))
            if len(self._waiting) > _AHEAD:
                break
        if not self._waiting:
            raise StopIteration
        return self._waiting.popleft()


class _Coming(NamedImage):
    """An image whose bytes are being read."""

    def __init__(self, image: StoredImage, content: Future[bytes]) -> None:
        self._image = image
        self._content = content

    @property
    def name(self) -> str:
        """The image's name in its source."""
        return self._image.name

    @property
    def title(self) -> str:
        """The image's full name, for messages."""
        return self._image.title

    def read(self) -> bytes:
        """Return the bytes once they are there."""
        return self._content.result()
