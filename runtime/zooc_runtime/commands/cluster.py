"""`--ray`: where a package's images are run, here or by the workers of a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import PackageError
from ..package.heads import Head
from ..support.error_boundary import note
from ..support.ray_workers import COMPARED, check_address, connect, own_code

if TYPE_CHECKING:
    from ..data.elsewhere import Sendable
    from ..inference.model import Model
    from ..inference.results import Result
    from ..package.manifest import Manifest
    from ..support.ray_workers import RayWorkers

__all__ = ["Source", "add_ray_option", "cluster_of", "source_of"]


class Source(Protocol):
    """A package, wherever it runs."""

    manifest: Manifest
    heads: tuple[Head, ...]

    def outcomes(self, images: Sequence[Sendable], topk: int | None) -> Generator[Result | PackageError]:
        """Yield each image's result, or why there is none, in order; to be closed.

        Raises:
            SourceError: a source of images fails as a whole.
        """


def add_ray_option(parser: argparse.ArgumentParser) -> None:
    """Add `--ray`."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="run the images on a Ray cluster, which reads them by the same paths or addresses: local starts "
        "one here, auto joins this machine's, or HOST:PORT",
    )


def cluster_of(options: argparse.Namespace, package: Path) -> AbstractContextManager[RayWorkers | None]:
    """Return the cluster that `--ray` names, for as long as the context lasts; `None` without the option.

    Raises:
        PackageError: a mistyped address; on entering, Ray is missing or no cluster is there.
    """
    from ..inference.cpu import available_cores
    from ..inference.spread import settings_of
    from ..package.manifest import Manifest

    if options.ray is None:
        return nullcontext()
    address = check_address(options.ray)
    engine = settings_of(Manifest(package.absolute()), _arguments(options)).engine
    modules = [*COMPARED, *(["openvino"] if engine == "openvino" else [])]
    tell = (lambda _text: None) if options.quiet else note
    return connect(address, [own_code()], available_cores(), tell, modules=modules)


def source_of(
    package: Path,
    options: argparse.Namespace,
    cluster: RayWorkers | None,
    *,
    hint: str | None = None,
    step_by_step: bool = False,
) -> Source:
    """Return the package, opened here, or to be opened by the cluster's workers.

    Args:
        package: the import package's folder.
        options: of the command.
        cluster: of `cluster_of`.
        hint: of `open_package`.
        step_by_step: here, one image is answered before the next is read.

    Raises:
        PackageError: see `open_package`.
    """
    from ..inference.model import open_package
    from ..inference.spread import SpreadPackage
    from ..package.manifest import Manifest

    arguments = {**_arguments(options), "hint": hint}
    if cluster is not None:
        return SpreadPackage(Manifest(package.absolute()), arguments, cluster, options.vdsp_params)
    model = open_package(package, threads=options.threads, vdsp_params=options.vdsp_params, **arguments)
    return _Here(model, step_by_step)


@dataclass
class _Here:
    """A package in this process."""

    model: Model
    step_by_step: bool

    def __post_init__(self) -> None:
        self.manifest, self.heads = self.model.manifest, self.model.heads

    def outcomes(self, images: Sequence[Sendable], topk: int | None) -> Generator[Result | PackageError]:
        """See `Source`."""
        from ..inference.spread import outcomes

        return outcomes(self.model, images, topk, step_by_step=self.step_by_step)


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    from ..inference.options import engine_arguments

    return {"batch_size": options.batch_size, **engine_arguments(options)}
