"""A model's answers to the images of a source, which are read ahead where that pays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..data.read_ahead import ReadAhead
from ..data.remote import retries_told
from ..errors import PackageError, SourceError
from ..support.error_boundary import note

if TYPE_CHECKING:
    from ..inference.model import Result
    from ..preprocessing.decode import ImageLike

__all__ = ["answered"]


@contextmanager
def answered(
    images: Sequence[ImageLike], stream: Callable[[Iterable[ImageLike]], Iterator[Result | PackageError]]
) -> Iterator[Iterator[Result | PackageError]]:
    """Give the outcomes in the images' order; a source that fails as a whole ends them.

    Leaving the block, by Ctrl-C say, waits for no image that is still on its way.

    Raises:
        SourceError: at its image.
    """
    with retries_told(note), ReadAhead(images) as ahead:
        yield map(_checked, stream(ahead))


def _checked(outcome: Result | PackageError) -> Result | PackageError:
    if isinstance(outcome, SourceError):
        raise outcome
    return outcome
