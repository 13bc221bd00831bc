"""`--ray`: the workers of a command, here or on a cluster; what is wrong with a cluster as diagnostics."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zooc.support.progress import Progress
    from zooc_runtime.support.workers import Workers

__all__ = ["RayOption", "code_for_workers", "workers_at"]

RayOption = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Run images on a Ray cluster, which reads them by the same paths or addresses: local starts "
        "one here, auto joins this machine's, or HOST:PORT.",
        show_default=False,
    ),
]

_CODES = {
    "missing": "Z0640",
    "address": "Z0641",
    "unreachable": "Z0642",
    "versions": "Z0643",
    "died": "Z0644",
}
_DATA = ("grammar", "templates")
"""What lies beside the package in a checkout, and inside of it where zooc is installed."""


@contextmanager
def workers_at(address: str | None, progress: Progress) -> Iterator[Workers]:
    """Give the workers that `--ray` names, for as long as the context lasts; without it, this process.

    Raises:
        ZoocError: Z0640 to Z0644: Ray or the cluster is not there or not usable, also while it works.
    """
    from zooc.diagnostics.diagnostic import ZoocError, error
    from zooc_runtime.inference.cpu import available_cores
    from zooc_runtime.support.ray_workers import COMPARED, RayProblem, check_address, connect
    from zooc_runtime.support.workers import Here

    if address is None:
        yield Here()
        return
    modules = (*COMPARED, "onnx")
    try:
        checked = check_address(address)
        with (
            code_for_workers() as code,
            connect(checked, code, available_cores(), progress.note, modules=modules) as workers,
        ):
            yield workers
            if workers.seen:
                progress.note(f"Ray, {checked}: {workers.in_words()}")
    except RayProblem as problem:
        message, _, hint = str(problem).partition("; ")
        raise ZoocError(error(_CODES[problem.kind], message, hint=hint or None)) from None


@contextmanager
def code_for_workers() -> Iterator[list[Path]]:
    """Give the folders of zooc and its runtime, each complete, for as long as the context lasts."""
    from zooc import resources
    from zooc_runtime import errors

    own, runtime = Path(resources.__file__).parent, Path(errors.__file__).parent
    if all((own / name).exists() for name in _DATA):
        yield [own, runtime]
        return
    with tempfile.TemporaryDirectory(prefix="zooc-code-") as folder:
        whole = Path(folder) / "zooc"
        shutil.copytree(own, whole, ignore=shutil.ignore_patterns("__pycache__"))
        for name in _DATA:
            shutil.copytree(resources.resource(name), whole / name)
        yield [whole, runtime]
