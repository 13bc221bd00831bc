"""A package's answers, computed by other processes: what `Model.stream` gives, from workers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.elsewhere import Sendable, as_written, portable
from ..data.read_ahead import ReadAhead
from ..errors import PackageError, SourceError
from ..package.heads import read_heads
from ..package.manifest import MANIFEST, MANIFEST_HASH, Manifest
from ..preprocessing.decode import ImageLike
from ..support.arrays import U8Array
from ..support.workers import Workers, cut, in_order
from .cpu import available_cores
from .model import Model, open_package
from .placement import read_placement
from .results import Result
from .settings import Settings
from .tuning import choose_settings

__all__ = ["SHARD", "PackageFiles", "SpreadPackage", "outcomes", "read_params", "settings_of"]

SHARD = 64
"""Images a task: some seconds of work, lost when a worker dies; a multiple of common batches."""


def outcomes(
    model: Model, images: Iterable[ImageLike], topk: int | None, *, step_by_step: bool = False
) -> Generator[Result | PackageError]:
    """Yield what `model.stream` does with `errors="return"`, of embeddings too.

    Images of remote sources are read ahead; once closed it waits for none that is still on its way.

    Args:
        model: the package.
        images: in order.
        topk: see `Model.stream`.
        step_by_step: one image is answered before the next is decoded.

    Raises:
        SourceError: at its image; the source fails as a whole.
    """
    with ReadAhead(images) as ahead:
        shards = ([image] for image in ahead) if step_by_step else [ahead]
        for outcome in (outcome for shard in shards for outcome in _stream(model, shard, topk)):
            if isinstance(outcome, SourceError):
                raise outcome
            yield outcome


def _stream(model: Model, images: Iterable[ImageLike], topk: int | None) -> Iterator[Result | PackageError]:
    if model.heads[0].embeds:
        return model.pipeline.stream(model, images, None, "return")
    return model.stream(images, topk, errors="return")


def settings_of(manifest: Manifest, arguments: Mapping[str, Any]) -> Settings:
    """Return what `open_package` would choose here with these arguments.

    Raises:
        PackageError: see `choose_settings`.
    """
    given = {name: arguments.get(name) for name in ("hint", "streams", "threads", "batch_size")}
    elsewhere = {name: arguments[name] for name in ("providers", "device", "fallback") if name in arguments}
    engine, placement = read_placement(arguments.get("engine", "auto"), **elsewhere)
    fixed = manifest["model"]["input"]["shape"][0]
    given["batch"] = given.pop("batch_size") if fixed is None else fixed
    return choose_settings(manifest, available_cores(), engine, **given, placement=placement)


@dataclass(frozen=True)
class PackageFiles:
    """A package on its way to where it runs: its files as `uint8` arrays, which a machine's workers share."""

    files: Mapping[str, U8Array]

    @classmethod
    def read(cls, manifest: Manifest) -> PackageFiles:
        """Read the import package.

        Raises:
            PackageError: a file is missing or changed.
        """
        data = {name: manifest.read(name) for name in manifest.files}
        data |= {name: (manifest.directory / name).read_bytes() for name in (MANIFEST, MANIFEST_HASH)}
        return cls({name: np.frombuffer(content, np.uint8) for name, content in data.items()})

    def open(self, arguments: Mapping[str, Any], vdsp_params: bytes | None = None) -> Model:
        """Load the package; its files are on this machine's disk only meanwhile."""
        with tempfile.TemporaryDirectory(prefix="zooc-") as folder:
            package = Path(folder) / "package"
            for name, content in self.files.items():
                path = package / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.data)
            params = None
            if vdsp_params is not None:
                params = Path(folder) / "vdsp_params.json"
                params.write_bytes(vdsp_params)
            return open_package(package, vdsp_params=params, **arguments)


@dataclass(frozen=True)
class _Answers:
    """The job: a shard of images to their outcomes."""

    package: PackageFiles
    arguments: Mapping[str, Any]
    vdsp_params: bytes | None
    topk: int | None

    def open(self) -> Callable[[Sequence[Sendable]], list[Result | PackageError]]:
        model = self.package.open(self.arguments, self.vdsp_params)
        return lambda images: list(outcomes(model, images, self.topk))


@dataclass
class SpreadPackage:
    """A package whose images are read and answered by workers; answers come in order.

    A worker has one CPU: it runs the network with one thread, in the engine and in batches as chosen here.

    Attributes:
        manifest: the package's.
        arguments: of `open_package`, but `vdsp_params`.
        workers: where it runs.
        vdsp_params: a file that replaces the compiled preprocessing.
    """

    manifest: Manifest
    arguments: Mapping[str, Any]
    workers: Workers
    vdsp_params: str | None = None

    def __post_init__(self) -> None:
        self.heads = read_heads(self.manifest)
        settings = settings_of(self.manifest, self.arguments)
        own = {
            "engine": settings.engine,
            "batch_size": settings.batch,
            "threads": 1,
            "streams": 1,
            "hint": None,
        }
        self.arguments = {**self.arguments, **own}

    def outcomes(self, images: Sequence[Sendable], topk: int | None) -> Generator[Result | PackageError]:
        """Yield each image's result, or why there is none, in order.

        Raises:
            SourceError: a source fails as a whole.
            PackageError: the package or its preprocessing cannot be read; what workers raise.
        """
        vdsp = None if self.vdsp_params is None else read_params(self.vdsp_params)
        job = _Answers(PackageFiles.read(self.manifest), self.arguments, vdsp, topk)
        found = in_order(self.workers.map(job, cut([portable(image) for image in images], SHARD)))
        answers = (answer for shard in found for answer in shard)
        for image, answer in zip(images, answers, strict=True):
            if isinstance(answer, PackageError):
                yield PackageError(as_written(str(answer), image))
            else:
                yield answer


def read_params(path: str) -> bytes:
    """Return the bytes of a vdsp_params file.

    Raises:
        PackageError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise PackageError(f"{path}: cannot be read ({error.strerror}); check the path") from None
