"""From a decoded image to the network's pixels: the compiled prelude, or a vdsp file in its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..errors import PackageError
from ..preprocessing.nv12 import frame_size, is_nv12
from ..preprocessing.pillow_steps import reference_pixels
from ..preprocessing.sizes import output_size
from ..preprocessing.steps import Step
from ..support.arrays import U8Array
from .engines import Stage

__all__ = ["CompiledPrelude", "Prelude", "VdspPrelude"]


class Prelude(Protocol):
    """What `source` says, `uint8 [H, W, channels]` or an NV12 frame, to `uint8 [channels, h, w]`.

    `steps` lead there.
    """

    source: str
    steps: Sequence[Step]

    def pixels(self, image: U8Array) -> U8Array:
        """Raise PackageError when the image is too small for the preprocessing."""
        ...


class CompiledPrelude:
    """The prelude of `model.onnx`."""

    def __init__(
        self, stage: Stage, steps: Sequence[Step], size: tuple[int, int], source: str = "rgb"
    ) -> None:
        self.source = source
        self._stage = stage
        self.steps = steps
        self._size = size

    def pixels(self, image: U8Array) -> U8Array:
        """Run the stage, after a look at the image's size."""
        _check_size(self.steps, image, self._size, self.source)
        result: U8Array = self._stage.run(image)[0]
        return result


class VdspPrelude:
    """A vdsp file's steps, executed with numpy and Pillow."""

    def __init__(self, steps: Sequence[Step], size: tuple[int, int], source: str = "rgb") -> None:
        self.source = source
        self.steps = steps
        self._size = size

    def pixels(self, image: U8Array) -> U8Array:
        """Apply the steps."""
        _check_size(self.steps, image, self._size, self.source)
        return reference_pixels(image, self.source, self.steps)


def _check_size(steps: Sequence[Step], image: U8Array, size: tuple[int, int], source: str) -> None:
    rows, columns = frame_size(image) if is_nv12(source) else image.shape[:2]
    height, width = output_size(steps, rows, columns)
    if (height, width) != size:
        raise PackageError(
            f"an image of {columns} x {rows} pixels leaves the preprocessing as "
            f"{width} x {height}, "
            f"but the network takes {size[1]} x {size[0]}; add a crop or a Resize to both sides to the "
            f".zoo file"
        )
