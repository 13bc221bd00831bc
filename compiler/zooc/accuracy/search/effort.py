"""How much a search may cost, in work and not in seconds: equal inputs must give equal results."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zooc.deployment import Effort

__all__ = ["EFFORTS", "Budget"]


@dataclass(frozen=True, slots=True)
class Budget:
    """What a search may cost.

    Attributes:
        macs: multiply-accumulates that trying a network once may take.
        least_images, most_images: calibration images, both parts together, whatever the network.
        trials: networks tried after the methods', of which each takes `macs`; more, if they take less.
        most_trials: at most.
        rounding_macs: the largest network, in multiply-accumulates an image, for which adaptive rounding of
            the weights is tried as well.
        reconstruction: whether reconstruction is tried in its place, where torch is installed.
    """

    macs: float
    least_images: int
    most_images: int
    trials: int
    most_trials: int
    rounding_macs: float
    reconstruction: bool

    def images_for(self, macs_of_image: int) -> int:
        """Return the number of images for a network of so many multiply-accumulates an image."""
        return int(min(max(2 * self.macs / max(macs_of_image, 1), self.least_images), self.most_images))

    def trials_for(self, macs_of_image: int, images: int) -> int:
        """Return how many networks may be tried after the methods', each on so many images."""
        every = self.macs * self.trials / max(macs_of_image * images, 1)
        return int(min(max(every, self.trials), self.most_trials))


EFFORTS: dict[Effort, Budget] = {
    "fast": Budget(8e10, 32, 64, 0, 0, 0.0, False),
    "normal": Budget(8e10, 32, 256, 24, 64, 1e9, False),
    "high": Budget(4e11, 128, 512, 120, 600, math.inf, True),
}
"""`fast` takes the best method for the whole network. `normal` takes about as long as calibrating a large
network does, or some seconds."""
