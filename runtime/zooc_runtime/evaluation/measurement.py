"""What is measured of a package's answers, image by image, whoever computed them and when."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import PackageError
from ..support.arrays import AnyArray

if TYPE_CHECKING:
    from ..inference.results import Result
    from .part import Part

__all__ = ["Measurement", "collect", "measured", "refuse_nothing", "refuse_unknown"]


class Measurement(Protocol):
    """Accuracy, several labels an image, or retrieval.

    Attributes:
        skipped: a message for each image that does not count.
    """

    skipped: list[str]

    def row(self, result: Result) -> AnyArray:
        """Return what counts of a result, of one shape and dtype for all images."""

    def add(self, path: str, truth: Any, row: AnyArray) -> None:
        """Take in an image's `row`; raise `ValueError` if truth or row cannot be of such a package."""

    def check(self) -> None:
        """Raise `PackageError` if there is nothing to measure."""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain data."""

    def lines(self, *, table: bool = False) -> Iterator[str]:
        """Yield the figures in words."""


def collect(
    outcomes: Iterable[Result | PackageError],
    places: Sequence[int],
    row: Callable[[Result], AnyArray],
    into: Part,
    report: Callable[[], None] = lambda: None,
) -> None:
    """Put the outcomes of the images at these places into a part, of unreadable ones the reason."""
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, PackageError):
            into.skipped[place] = str(outcome)
        else:
            into.rows[place] = row(outcome)
        report()


def measured(part: Part, measurement: Measurement) -> Measurement:
    """Fill in the measurement from a part, in the order of the images, whatever the order of their outcomes.

    Raises:
        PackageError: there is nothing to measure, or the part is of something else.
    """
    for name, truth, row in part.in_turn():
        try:
            measurement.add(name, truth, row)
        except (ValueError, TypeError) as problem:
            raise PackageError(f"{name}: its part has {problem}; run that part's eval again") from None
    measurement.skipped += part.complaints()
    measurement.check()
    return measurement


def refuse_nothing(answers: Sized, skipped: Sequence[str]) -> None:
    """Raise `PackageError` if none of the images could be read."""
    if not len(answers):
        raise PackageError(f"none of the {len(skipped)} images could be read; the first: {skipped[0]}")


def refuse_unknown(ids: Iterable[int], count: int | None) -> None:
    """Raise `ValueError` unless all are class ids of a package with so many classes."""
    unknown = [one for one in ids if not isinstance(one, int) or not 0 <= one < (count or one + 1)]
    if unknown:
        raise ValueError(f"the class id {unknown[0]!r}, which the package does not have")
