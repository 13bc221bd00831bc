"""When the stages of one image's way through the pipeline began and ended."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["STAGES", "Stamps"]

STAGES = ("decode", "preprocess", "queue", "network")


@dataclass(slots=True)
class Stamps:
    """Moments of `time.monotonic()`, seconds; 0 for a stage that was not reached.

    Attributes:
        submitted: the image was queued.
        begun: a worker took it to decode it.
        decoded: it is an array.
        prepared: it is the network's input.
        entered: its batch went into the network.
        answered: the network's scores are there.
        batch: images in that batch.
        leads: whether it is the first of its batch.
    """

    submitted: float = 0.0
    begun: float = 0.0
    decoded: float = 0.0
    prepared: float = 0.0
    entered: float = 0.0
    answered: float = 0.0
    batch: int = 0
    leads: bool = False

    @property
    def seconds(self) -> dict[str, float]:
        """What an answered image has spent of `STAGES`."""
        times = (
            self.decoded - self.begun,
            self.prepared - self.decoded,
            self.begun - self.submitted + self.entered - self.prepared,
            self.answered - self.entered,
        )
        return dict(zip(STAGES, times, strict=True))
