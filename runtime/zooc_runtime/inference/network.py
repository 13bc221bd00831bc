"""The loaded network: from a decoded image to a result, in the calling thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import PackageError
from ..package.heads import Head
from ..package.manifest import Manifest
from ..preprocessing.decode import ImageLike, decode, describe
from ..preprocessing.nv12 import frame_size, is_nv12
from ..preprocessing.sizes import output_size
from ..preprocessing.sources import channels_of
from ..support.arrays import AnyArray, F32Array, U8Array, fill_batch
from .engines import Stage
from .prelude import Prelude
from .results import Result, result_of
from .settings import Settings

__all__ = ["Network", "Stages"]


@dataclass(frozen=True)
class Stages:
    """The stages as loaded; `prelude` is absent in the tensor form, `postlude` without activation."""

    prelude: Prelude | None
    body: Stage
    postlude: Stage | None


class Network:
    """A package's stages, and what its manifest says of them; any thread may call any method.

    Attributes:
        most_pixels: images with more, or that would have more within the preprocessing, are refused; `None`
            for no limit but Pillow's. For images from strangers.
    """

    def __init__(
        self, manifest: Manifest, stages: Stages, heads: tuple[Head, ...], settings: Settings
    ) -> None:
        self.manifest = manifest
        self.stages = stages
        self.heads = heads
        self.labels = heads[0].labels if len(heads) == 1 else ()
        self.settings = settings
        self.engine = settings.engine
        self.classes = int(manifest["model"]["classes"])
        shape = manifest["model"]["input"]["shape"]
        self.input_shape = int(shape[1]), int(shape[2]), int(shape[3])
        self.input_size = self.input_shape[1:]
        self.fixed_batch = shape[0] if isinstance(shape[0], int) else None
        self.batch_size = settings.batch
        self.runs_on = stages.body.runs_on
        self.topk = heads[0].topk if len(heads) == 1 else 0
        self.takes_images = stages.prelude is not None
        self.takes_frames = stages.prelude is not None and is_nv12(stages.prelude.source)
        self.most_pixels: int | None = None
        self.image_channels = channels_of(stages.prelude.source if stages.prelude else "rgb")

    def pixels(self, image: ImageLike) -> U8Array:
        """Return the network's own input for one image: `uint8 [channels, h, w]`.

        Raises:
            PackageError: unreadable or too small; or the package is of the tensor form and takes no images.
        """
        return self.prepare(self.decode(image), image)

    def decode(self, image: ImageLike) -> U8Array:
        """What the prelude takes: `uint8 [H, W, channels]`, or an NV12 frame; the first half of `pixels`."""
        return decode(image, self._prelude.source, self._prelude.steps, self.most_pixels)

    def prepare(self, decoded: U8Array, image: ImageLike) -> U8Array:
        """Return `uint8 [channels, h, w]` of what `decode` made of `image`, which is for messages."""
        try:
            if self.most_pixels is not None:
                rows, columns = frame_size(decoded) if self.takes_frames else decoded.shape[:2]
                output_size(self._prelude.steps, rows, columns, most_pixels=self.most_pixels)
            return self._prelude.pixels(decoded)
        except PackageError as error:
            raise PackageError(f"{describe(image)}: {error}") from None

    @property
    def _prelude(self) -> Prelude:
        if self.stages.prelude is None:
            raise PackageError(
                f"{self.manifest['name']} was compiled without a preprocess block and takes no images; "
                "give run_tensor a normalized float32 tensor, or compile it with a preprocess block"
            )
        return self.stages.prelude

    def run_tensor(self, tensor: AnyArray) -> F32Array:
        """Return the network alone.

        Args:
            tensor: `uint8 [N, channels, h, w]` pixels as `pixels` gives them; in the tensor form `float32`
                of this shape, normalized.

        Returns:
            Logits, `float32 [N, classes]`.

        Raises:
            PackageError: another dtype or shape.
        """
        wanted = np.dtype(np.uint8 if self.takes_images else np.float32)
        shape = f"[N, {', '.join(map(str, self.input_shape))}]"
        if not isinstance(tensor, np.ndarray):
            kind = type(tensor).__name__
            raise PackageError(f"run_tensor takes {wanted} {shape}, not a {kind}; give a numpy array")
        if tensor.dtype != wanted or tensor.ndim != 4 or tensor.shape[1:] != self.input_shape:
            raise PackageError(f"run_tensor takes {wanted} {shape}, not {tensor.dtype} {list(tensor.shape)}")
        tensor = np.ascontiguousarray(tensor)
        if self.fixed_batch is None:
            return self._body(tensor) if len(tensor) else np.zeros((0, self.classes), np.float32)
        parts = [
            self._padded(tensor[i : i + self.fixed_batch]) for i in range(0, len(tensor), self.fixed_batch)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.classes), np.float32)

    def finish(self, logits: F32Array) -> F32Array:
        """Return the postlude on `float32 [N, classes]`; the logits themselves without one."""
        if self.stages.postlude is None:
            return logits
        if self.fixed_batch is None:
            return np.asarray(self.stages.postlude.run(logits), np.float32)
        step = self.fixed_batch
        parts = [
            self._padded(logits[i : i + step], self.stages.postlude) for i in range(0, len(logits), step)
        ]
        return np.concatenate(parts)

    def _body(self, tensor: AnyArray) -> F32Array:
        return np.asarray(self.stages.body.run(tensor), np.float32)

    def _padded(self, part: AnyArray, stage: Stage | None = None) -> F32Array:
        """Runs a chunk of at most `fixed_batch` rows, filled up with copies of its last row."""
        full = fill_batch(part, self.fixed_batch)
        return np.asarray((stage or self.stages.body).run(full), np.float32)[: len(part)]

    def result(self, scores: F32Array, count: int | None) -> Result:
        """Return the answer for one image from the graph's own output, `float32 [classes]`.

        Args:
            scores: the output.
            count: how many classes to rank; as compiled by default.
        """
        return result_of(scores, self.heads, count)
