"""A loaded package: images in, classes out."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, cast, overload

import numpy as np
from PIL import Image

from ..errors import PackageError
from ..package.heads import Head, read_heads, refuse_embeddings
from ..package.manifest import Manifest
from ..package.signature import check_signed
from ..package.stages import Graph
from ..package.trust import TrustedKey
from ..preprocessing.decode import ImageLike
from ..preprocessing.steps import steps_from_json
from ..preprocessing.vdsp.document import read_vdsp
from ..preprocessing.vdsp.override import check_override
from ..support.arrays import F32Array
from .cpu import available_cores, warn_unless_proven
from .engines import OnnxRuntimeStage, open_body
from .network import Network, Stages
from .placement import read_placement
from .prelude import CompiledPrelude, Prelude, VdspPrelude
from .results import Prediction, Result
from .scheduler import Pipeline
from .settings import Settings, positive
from .shown import model_facts, model_html
from .tuning import choose_settings

__all__ = ["Model", "Prediction", "Result", "open_package"]


class Model(Network):
    """A package, loaded and checked; all methods may be called from several threads.

    Get one with the package's `load()`.
    """

    def __init__(
        self,
        manifest: Manifest,
        stages: Stages,
        heads: tuple[Head, ...],
        settings: Settings,
        max_wait_us: float = 0,
    ) -> None:
        super().__init__(manifest, stages, heads, settings)
        self.pipeline = Pipeline(settings.streams, settings.batch, max_wait_us)
        weakref.finalize(self, self.pipeline.stop).atexit = False

    def __repr__(self) -> str:
        return f"<Model {', '.join(f'{name} {value}' for name, value in model_facts(self))}>"

    def _repr_html_(self) -> str:
        return model_html(self)

    def __rich_repr__(self) -> Iterator[tuple[str, str]]:
        yield from model_facts(self)

    @property
    def info(self) -> dict[str, Any]:
        """What was compiled: the manifest's main entries; and the engine in use, and what it runs on."""
        keys = (
            "name",
            "version",
            "zooc",
            "form",
            "model",
            "preprocess",
            "quantization",
            "postprocess",
            "engines",
        )
        return {**{key: self.manifest[key] for key in keys}, "engine": self.engine, "runs_on": self.runs_on}

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, images: ImageLike, topk: int | None = None, batch_size: int | None = None
    ) -> Result: ...

    @overload
    def __call__(
        self, images: Iterable[ImageLike], topk: int | None = None, batch_size: int | None = None
    ) -> list[Result]: ...

    def __call__(
        self, images: ImageLike | Iterable[ImageLike], topk: int | None = None, batch_size: int | None = None
    ) -> Result | list[Result]:
        """Classifies one image, or a list of images of any sizes.

        Args:
            images: a path, the bytes of an image file, a PIL image or `uint8 [H, W, 3]`; or several of them.
            topk: how many classes to name; the package's own number by default.
            batch_size: images that go through the network together; `load`'s by default.

        Raises:
            PackageError: an image cannot be read; the message names it. Or the package gives embeddings.
        """
        count = self._count(topk)
        results = [self.result(row, count) for row in self.scores(images, batch_size)]
        return results[0] if _is_single(images) else results

    def submit(self, image: ImageLike, topk: int | None = None) -> Future[Result]:
        """Classify one image in the background; images submitted together share batches.

        An image that cannot be read fails its own future only. A future may be cancelled until its image's
        turn.

        Raises:
            PackageError: the model is closed, or gives embeddings.
        """
        return self.pipeline.submit(self, image, self._count(topk))

    @overload
    def stream(
        self, images: Iterable[ImageLike], topk: int | None = None, errors: Literal["raise"] = "raise"
    ) -> Iterator[Result]: ...

    @overload
    def stream(
        self, images: Iterable[ImageLike], topk: int | None = None, *, errors: Literal["return"]
    ) -> Iterator[Result | PackageError]: ...

    def stream(
        self, images: Iterable[ImageLike], topk: int | None = None, errors: str = "raise"
    ) -> Iterator[Result] | Iterator[Result | PackageError]:
        """Classify any number of images, in order: decoding, network and the reader's work overlap.

        Args:
            images: read in the calling thread, a few batches ahead of the answers.
            topk: how many classes to name; the package's own number by default.
            errors: what an image does that cannot be read: `raise` ends the stream at its place; `return`
                gives a `PackageError` in its place and goes on.

        Raises:
            PackageError: an unreadable image, named, at its place; or the model is closed, or gives
                embeddings.
        """
        if _is_single(images):
            raise PackageError("stream takes several images; for a single image call the model, or submit it")
        if errors not in ("raise", "return"):
            raise PackageError(f'errors is {errors!r}; give "raise" or "return"')
        return self.pipeline.stream(self, images, self._count(topk), errors)

    def close(self) -> None:
        """End `submit` and `stream`, and their threads, once what was submitted is answered."""
        self.pipeline.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """`close`; after an exception what has not begun is cancelled."""
        self.pipeline.close(cancel=kind is not None)

    def _count(self, topk: int | None) -> int | None:
        self._refuse_embeddings()
        return None if topk is None else positive("topk", topk)

    def _refuse_embeddings(self) -> None:
        refuse_embeddings(str(self.manifest["name"]), self.heads)

    def probabilities(
        self, images: ImageLike | Iterable[ImageLike], batch_size: int | None = None
    ) -> F32Array:
        """Return `float32 [N, classes]`, softmax applied where the graph has no activation.

        Raises:
            PackageError: an image cannot be read, or the package gives embeddings.
        """
        self._refuse_embeddings()
        scores = self.scores(images, batch_size)
        return np.concatenate([head.probabilities(scores[:, head.part]) for head in self.heads], axis=1)

    def embed(self, images: ImageLike | Iterable[ImageLike], batch_size: int | None = None) -> F32Array:
        """Return embeddings of length 1, `float32 [N, dimensions]`, of a package with `l2_normalize`.

        The dot product of two of them is their cosine similarity.

        Raises:
            PackageError: an image cannot be read, or the package was compiled without `l2_normalize`.
        """
        if not self.heads[0].embeds:
            raise PackageError(
                f"{self.manifest['name']} gives classes; for embeddings compile it with `l2_normalize` "
                "in `postprocess`"
            )
        return self.scores(images, batch_size)

    def scores(self, images: ImageLike | Iterable[ImageLike], batch_size: int | None = None) -> F32Array:
        """`float32 [N, classes]`: the graph's own output, after its activation if it has one, else logits."""
        several = cast("Iterable[ImageLike]", [images] if _is_single(images) else images)
        size = self.batch_size if batch_size is None else positive("batch_size", batch_size)
        parts = []
        for chunk in _chunks(several, size):
            logits = self.run_tensor(np.stack([self.pixels(image) for image in chunk]))
            parts.append(self.finish(logits))
        return np.concatenate(parts) if parts else np.zeros((0, self.classes), np.float32)


def open_package(
    directory: str | os.PathLike[str],
    engine: str = "auto",
    threads: int | None = None,
    batch_size: int | None = None,
    vdsp_params: str | os.PathLike[str] | None = None,
    max_wait_us: float = 0,
    streams: int | None = None,
    hint: str | None = None,
    providers: Sequence[str | tuple[str, Mapping[str, object]]] | None = None,
    device: str | None = None,
    fallback: bool = False,
    trusted_key: str | os.PathLike[str] | None = None,
) -> Model:
    """Load the package in `directory` (the folder that holds `manifest.json`).

    Args:
        directory: the import package's folder.
        engine: `auto`, `onnxruntime` or `openvino`.
        threads: threads within a stream; by default the streams share all cores that the process may use.
        batch_size: images that go through the network together, where the network's batch is free.
        vdsp_params: a vdsp_params file that replaces the compiled preprocessing.
        max_wait_us: how long images given to `submit` wait for others to share a batch with, in
            microseconds, though a stream is free.
        streams: batches in the network at the same time.
        hint: `latency` or `throughput`: what to choose the other settings for, as far as they are not given.
        providers: execution providers of ONNX Runtime for the network, by preference: names, or pairs of a
            name and its options. Without `CPUExecutionProvider` among them, nodes that none takes are an
            error.
        device: a device of OpenVINO for the network: `CPU`, `GPU`, `NPU`, `AUTO`.
        fallback: leaves out, with a warning, providers that cannot be had, instead of failing.
        trusted_key: a public key (PEM); every file must be as signed with its private one.

    Raises:
        PackageError: not a package, changed files, an engine, provider or device that is missing, or an
            engine that was not compiled for; with `trusted_key`, a package not signed with it, or changed.
    """
    if not 0 <= max_wait_us < float("inf"):
        raise PackageError(f"max_wait_us is {max_wait_us!r}; 0 or more microseconds are expected")
    manifest = Manifest(Path(directory).absolute())
    if trusted_key is not None:
        check_signed(manifest, TrustedKey(trusted_key))
    fixed = manifest["model"]["input"]["shape"][0]
    batch = batch_size if fixed is None else fixed
    engine, placement = read_placement(engine, providers, device, fallback)
    settings = choose_settings(manifest, available_cores(), engine, hint, streams, threads, batch, placement)
    manifest.check_files(unless=frozenset({"model.onnx"}))
    warn_unless_proven(str(manifest["name"]), manifest["quantization"])
    graph = Graph(manifest.read("model.onnx"))
    boundaries = manifest["stages"]
    body = open_body(_cut(graph, boundaries, "body"), settings)
    postlude = OnnxRuntimeStage(_cut(graph, boundaries, "postlude"), 1) if boundaries["postlude"] else None
    prelude = _open_prelude(manifest, graph, settings.threads, vdsp_params)
    return Model(manifest, Stages(prelude, body, postlude), read_heads(manifest), settings, max_wait_us)


def _open_prelude(
    manifest: Manifest, graph: Graph, threads: int, vdsp_params: str | os.PathLike[str] | None
) -> Prelude | None:
    shape = manifest["model"]["input"]["shape"]
    size = int(shape[2]), int(shape[3])
    preprocess = manifest["preprocess"]
    if manifest["stages"]["prelude"] is None:
        if vdsp_params is not None:
            raise PackageError(
                f"{manifest['name']} was compiled without a preprocess block, so --vdsp-params has "
                f"nothing to replace"
            )
        return None
    if vdsp_params is not None:
        params = read_vdsp(vdsp_params, size)
        check_override(params, preprocess, *size, os.fspath(vdsp_params))
        return VdspPrelude(params.steps, size, params.source)
    stage = OnnxRuntimeStage(_cut(graph, manifest["stages"], "prelude"), threads)
    steps = steps_from_json(preprocess["steps"])
    return CompiledPrelude(stage, steps, size, preprocess.get("source", "rgb"))


def _cut(graph: Graph, boundaries: dict[str, Any], stage: Any) -> bytes:
    return graph.cut(stage, [boundaries[stage]["input"]], [boundaries[stage]["output"]])


def _is_single(images: object) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim != 4
    return isinstance(
        images, (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    ) or not isinstance(images, Iterable)


def _chunks(images: Iterable[ImageLike], size: int) -> Iterator[list[ImageLike]]:
    source = iter(images)
    while chunk := list(islice(source, size)):
        yield chunk
