"""The benchmark's accuracy mode: the outputs of a datalist's files, as files in its order."""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from ..errors import PackageError
from ..evaluation.npz import read_input, refuse_repeats
from ..evaluation.output_folder import OutputFolder
from ..inference.cpu import available_cores
from ..inference.model import open_package
from ..inference.options import placement_of
from ..package.manifest import MANIFEST_HASH, Manifest
from ..support.error_boundary import note, progress
from ..support.parallel import in_order
from .job import Job

__all__ = ["open_outputs", "write_outputs"]


def open_outputs(
    manifest: Manifest, files: Sequence[str], options: argparse.Namespace
) -> OutputFolder | None:
    """Return the folder for the outputs, `None` if none are wanted; looked at before anything is measured.

    Raises:
        PackageError: it holds something else than outputs of this run, or the list names a file twice.
    """
    if options.path_output is None:
        return None
    refuse_repeats(files, options.datalist)
    engine, placement = placement_of(options)
    where = f"{engine}{placement}"
    made_by = hashlib.sha256((manifest.directory / MANIFEST_HASH).read_bytes() + where.encode())
    if options.vdsp_params is not None:
        try:
            made_by.update(Path(options.vdsp_params).read_bytes())
        except OSError as error:
            raise PackageError(
                f"{options.vdsp_params}: cannot be read ({error.strerror}); check the path"
            ) from None
    return OutputFolder(options.path_output, files, made_by.hexdigest())


def write_outputs(folder: OutputFolder, job: Job, files: Sequence[str], options: argparse.Namespace) -> None:
    """Make the outputs that are not there yet, in a pass of its own, so that writing files does not count.

    Raises:
        PackageError: an unfit input, another run's output, a full disk.
    """
    missing = folder.missing
    if len(missing) < len(files):
        note(f"{len(files) - len(missing)} of {len(files)} outputs are there already and are kept")
    # Here one stream has the machine to itself.
    model = open_package(
        job.directory,
        job.engine,
        options.threads,
        job.batch_size,
        job.vdsp_params,
        **job.placement.arguments,
    )
    channels = model.image_channels
    images = in_order(lambda index: read_input(files[index], channels), missing, available_cores())
    for start in range(0, len(missing), model.batch_size):
        part = missing[start : start + model.batch_size]
        for index, row in zip(part, model.scores(list(islice(images, len(part)))), strict=True):
            folder.write(index, row[None])
        progress(f"{start + len(part)} of {len(missing)} outputs", quiet=options.quiet)
    progress("", last=True, quiet=options.quiet)
    folder.check_complete()
