"""One package in the server: its bounded queue, and the way of a request through it."""

from __future__ import annotations

import asyncio
import io
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

from ..errors import ImageTooLarge, PackageError
from ..inference.model import Model
from ..inference.results import Result
from ..inference.stamps import Stamps
from ..preprocessing.decode import ImageLike
from ..preprocessing.steps import SwapChannels
from ..support.arrays import AnyArray
from .answer import classes_to_name
from .interface import interface_of
from .limits import Limits, Refusal
from .request import InferRequest

__all__ = ["Served"]


class Served:
    """A loaded package under its name.

    Args:
        name: in the server.
        model: the package.
        limits: the server's.

    Attributes:
        waiting: images accepted and not yet answered.
    """

    def __init__(self, name: str, model: Model, limits: Limits) -> None:
        self.name = name
        self.model = model
        self.version = str(model.manifest["version"])
        self.interface = interface_of(model)
        self.waiting = 0
        self._limits = limits
        model.most_pixels = limits.pixels

    def metadata(self) -> dict[str, Any]:
        """Return the protocol's model metadata."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": f"zooc_{self.model.engine}",
            **self.interface.metadata(),
        }

    def warm_up(self) -> None:
        """Answer a golden image in full batches on every stream, so that no client waits for first times.

        Raises:
            PackageError: the package's own image gives no answer.
        """
        model = self.model
        manifest = model.manifest
        with np.load(io.BytesIO(manifest.read(manifest["goldens"]["file"])), allow_pickle=False) as goldens:
            image = (
                goldens["image_0"] if model.takes_images else goldens[self.interface.inputs[0].name + "_0"][0]
            )
        count = 2 * model.settings.streams * model.batch_size
        answers = [self._submit(image, None, not model.takes_images, Stamps()) for _ in range(count)]
        for answer in answers:
            answer.result()

    async def infer(self, request: InferRequest) -> tuple[list[Result], list[Stamps]]:
        """Answer a request; images of several requests share batches.

        Raises:
            Refusal: 429, the queue is full; 504, the deadline has passed, what had not begun is left; 400 and
                413, an image that cannot be read or is too large.
        """
        images = request.images
        if self.waiting + len(images) > self._limits.queue:
            raise Refusal(
                429,
                f"{self.name}: {self.waiting} images wait, of at most {self._limits.queue}; try again later",
                retry=1,
            )
        loop = asyncio.get_running_loop()
        finished = loop.create_future()
        left = len(images)

        def count_down() -> None:
            nonlocal left
            self.waiting -= 1
            left -= 1
            if left == 0 and not finished.done():
                finished.set_result(None)

        def answered(_: Future[Result]) -> None:  # in a worker's thread
            with suppress(RuntimeError):  # the loop was closed: the server has been told to wait no longer
                loop.call_soon_threadsafe(count_down)

        stamps = [Stamps() for _ in images]
        answers: list[Future[Result]] = []
        count = classes_to_name(request)
        seconds = min(request.seconds or self._limits.seconds, self._limits.seconds)
        try:
            for image, one in zip(images, stamps, strict=True):
                answer = self._submit(image, count, request.prepared, one)
                self.waiting += 1
                answer.add_done_callback(answered)
                answers.append(answer)
            await asyncio.wait_for(finished, seconds)
        except asyncio.TimeoutError:
            raise Refusal(
                504, f"{self.name}: no answer within {seconds:g} seconds; try again later"
            ) from None
        finally:
            for answer in answers:
                answer.cancel()
        return _results(answers), stamps

    def pixels(self, image: bytes) -> bytes:
        """Return a PNG file of what the network sees of an image; of 4 channels the first three.

        Raises:
            Refusal: it cannot be read, is too large, or the package takes no images.
        """
        prelude = self.model.stages.prelude
        if prelude is None or self.interface.inputs[0].datatype != "BYTES":
            raise Refusal(400, f"{self.name} takes no image files")
        try:
            pixels: AnyArray = self.model.pixels(image)
        except PackageError as error:
            raise _refusal(error) from None
        if any(isinstance(step, SwapChannels) for step in prelude.steps):
            pixels = pixels[::-1]
        shown = pixels[0] if len(pixels) < 3 else pixels[:3].transpose(1, 2, 0)
        file = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(shown)).save(file, "PNG", compress_level=1)
        return file.getvalue()

    def _submit(self, image: ImageLike, count: int | None, prepared: bool, stamps: Stamps) -> Future[Result]:
        return self.model.pipeline.submit(self.model, image, count, prepared=prepared, stamps=stamps)


def _results(answers: list[Future[Result]]) -> list[Result]:
    results = []
    for number, answer in enumerate(answers):
        try:
            results.append(answer.result())
        except PackageError as error:
            raise _refusal(error, f"image {number}: " if len(answers) > 1 else "") from None
    return results


def _refusal(error: PackageError, place: str = "") -> Refusal:
    return Refusal(413 if isinstance(error, ImageTooLarge) else 400, f"{place}{error}")
