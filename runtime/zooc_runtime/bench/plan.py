"""From the benchmark's options to a job a process; unfit options are refused before anything is loaded."""

from __future__ import annotations

import argparse
import math

from ..data.image_folder import list_images
from ..errors import PackageError
from ..evaluation.npz import read_datalist
from ..inference.cpu import available_cores
from ..inference.options import placement_of
from ..inference.settings import Settings
from ..inference.tuning import choose_settings
from ..package.manifest import Manifest
from ..preprocessing.sources import channels_of
from .job import Job, Mode

__all__ = ["find_files", "plan_jobs"]

_ITERATIONS = 200


def find_files(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the npz files of `--datalist` or the images of `--end_to_end`; none with neither.

    Raises:
        PackageError: a list or folder that is missing, empty or unreadable.
    """
    if options.datalist is not None:
        return read_datalist(options.datalist)
    if options.end_to_end is None:
        return ()
    images = tuple(map(str, list_images(options.end_to_end)))
    if not images:
        raise PackageError(f"{options.end_to_end}: no images below this folder; check the path")
    return images


def plan_jobs(manifest: Manifest, options: argparse.Namespace, files: tuple[str, ...]) -> list[Job]:
    """Return one job a process, the requests shared out.

    Raises:
        PackageError: options that contradict each other or the package.
    """
    mode = _mode(options)
    _check(manifest, options, mode)
    hint = options.hint or ("throughput" if mode == "end_to_end" else None)
    settings = _settings(manifest, options, hint)
    network = manifest["model"]["input"]["shape"]
    processes: int = options.processes
    total = options.iterations or _default_iterations(len(files), options, settings.batch)
    if options.duration is None and total < processes:
        raise PackageError(
            f"--iterations {total} is less than --processes {processes}; every process needs one"
        )
    ahead = 2 * (settings.streams * settings.batch + available_cores())
    queue = ahead if mode == "end_to_end" and hint == "throughput" else 0
    shares = [total // processes + (i < total % processes) for i in range(processes)]
    return [
        Job(
            directory=manifest.directory,
            mode=mode,
            engine=settings.engine,
            threads=settings.threads,
            instances=settings.streams,
            batch_size=settings.batch,
            shape=options.shape or (_channels(manifest), network[2], network[3]),
            iterations=share,
            warmup=options.warmup,
            duration=options.duration,
            queue_size=queue if options.queue_size is None else options.queue_size,
            vdsp_params=options.vdsp_params,
            files=files[i::processes] or files,
            placement=settings.placement,
        )
        for i, share in enumerate(shares)
    ]


def _channels(manifest: Manifest) -> int:
    """Of an image, or of a tensor in the tensor form."""
    preprocess = manifest["preprocess"]
    shape = manifest["model"]["input"]["shape"]
    return int(shape[1]) if preprocess is None else channels_of(preprocess.get("source", "rgb"))


def _settings(manifest: Manifest, options: argparse.Namespace, hint: str | None) -> Settings:
    """Those of the hint; without one vamp's single stream of single images. Processes share the cores."""
    cores = max(1, available_cores() // options.processes)
    one = None if hint else 1
    streams, batch = options.instance or one, options.batch_size or one
    engine, placement = placement_of(options)
    return choose_settings(manifest, cores, engine, hint, streams, options.threads, batch, placement)


def _mode(options: argparse.Namespace) -> Mode:
    if options.end_to_end is not None:
        return "end_to_end"
    return "network_only" if options.network_only else "images"


def _check(manifest: Manifest, options: argparse.Namespace, mode: Mode) -> None:
    if options.path_output is not None and options.datalist is None:
        raise PackageError("--path_output needs --datalist: outputs are written for listed files only")
    if mode != "images" and options.shape is not None:
        what = "files have their own sizes" if mode == "end_to_end" else "the network has one size"
        raise PackageError(f"--shape is for random images; with --{mode} {what}: leave it out")
    if mode == "network_only" and options.vdsp_params is not None:
        raise PackageError(
            "--vdsp_params changes the preprocessing, which --network_only leaves out; give only one of them"
        )
    shape = manifest["model"]["input"]["shape"][1:]
    if manifest["form"] == "tensor" and (given := options.datalist or options.end_to_end):
        raise PackageError(f"{given} contains images, but this package was compiled to take tensors")
    if manifest["form"] == "tensor" and options.shape is not None and list(options.shape) != shape:
        raise PackageError(
            f"--shape {list(options.shape)}: this package takes tensors of {shape} and nothing else"
        )


def _default_iterations(files: int, options: argparse.Namespace, batch: int) -> int:
    """Once over the files; where outputs are wanted, which takes a pass anyway, at most the default."""
    if options.datalist is None:
        return max(files, _ITERATIONS)
    once = math.ceil(files / batch)
    return once if options.path_output is None else max(min(once, _ITERATIONS), int(options.processes))
