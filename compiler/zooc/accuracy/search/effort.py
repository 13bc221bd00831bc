"""How much a search may cost, in work and not in seconds: equal inputs must give equal results."""

from __future__ import annotations

from dataclasses import dataclass

from zooc.deployment import Effort

__all__ = ["EFFORTS", "Budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may cost.

    Attributes:
        images: calibration images at most, both parts together.
        macs: multiply-accumulates of all networks that are tried after the methods'.
        least, most: limits of the number of these networks.
    """

    images: int
    macs: float
    least: int
    most: int

    def trials(self, macs_of_image: int, images: int) -> int:
        """Return how many networks may be tried.

        Args:
            macs_of_image: multiply-accumulates of the network for an image.
            images: on which each is tried.
        """
        return int(min(max(self.macs / max(macs_of_image * images, 1), self.least), self.most))


EFFORTS: dict[Effort, Budget] = {
    "fast": Budget(32, 0.0, 0, 0),
    "normal": Budget(48, 2e12, 8, 96),
    "high": Budget(128, 4e13, 96, 800),
}
"""`fast` takes the best method for the whole network. `normal` is meant to take no more than three times what
calibrating does for a large network."""
