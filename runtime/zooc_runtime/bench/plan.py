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
from .job import Job, Mode, Server

__all__ = ["find_files", "plan_jobs"]

_ITERATIONS = 200
_SECONDS_AT_A_RATE = 10.0
_WAITING_AT_A_RATE = 128
_CONNECTIONS_AT_A_RATE = 32
_TIMEOUT = 30.0


def find_files(options: argparse.Namespace) -> tuple[str, ...]:
    """Return the npz files of `--datalist` or the images of `--end-to-end`; none with neither.

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


def plan_jobs(
    manifest: Manifest, options: argparse.Namespace, files: tuple[str, ...], rate: float | None = None
) -> list[Job]:
    """Return one job a process, the requests shared out; of a `rate` each takes an equal part.

    Several independent Poisson processes are together one of the sum of their rates.

    Raises:
        PackageError: options that contradict each other or the package.
    """
    mode = _mode(options)
    _check(manifest, options, mode)
    hint = options.hint or ("throughput" if mode == "end_to_end" else None)
    settings = _settings(manifest, options, hint) if mode != "served" else _of_server(options)
    network = manifest["model"]["input"]["shape"]
    processes: int = options.processes
    total = options.iterations or _default_iterations(len(files), options, settings.batch)
    duration: float | None = options.duration
    if rate is not None and duration is None and options.iterations is None:
        duration = _SECONDS_AT_A_RATE
    if duration is None and total < processes:
        raise PackageError(
            f"--iterations {total} is less than --processes {processes}; every process needs one"
        )
    ahead = 2 * (settings.streams * settings.batch + available_cores())
    queue = ahead if mode == "end_to_end" and hint == "throughput" else 0
    queue = queue if rate is None else _WAITING_AT_A_RATE
    shares = [total // processes + (i < total % processes) for i in range(processes)]
    return [
        Job(
            directory=manifest.directory,
            mode=mode,
            engine=settings.engine,
            threads=settings.threads,
            instances=settings.streams,
            batch_size=settings.batch,
            shape=options.shape or (3 if mode == "served" else _channels(manifest), network[2], network[3]),
            iterations=share,
            warmup=options.warmup,
            duration=duration,
            queue_size=queue if options.queue_size is None else options.queue_size,
            vdsp_params=options.vdsp_params,
            files=files[i::processes] or files,
            placement=settings.placement,
            rate=None if rate is None else rate / processes,
            seed=f"{options.seed}/{i}",
            server=_server(manifest, options),
        )
        for i, share in enumerate(shares)
    ]


def _of_server(options: argparse.Namespace) -> Settings:
    """The connections as streams; engine and threads are the server's affair."""
    streams = options.instance or (_CONNECTIONS_AT_A_RATE if options.rate else 1)
    return Settings(engine="", threads=0, streams=streams, batch=options.batch_size or 1)


def _server(manifest: Manifest, options: argparse.Namespace) -> Server | None:
    if options.url is None:
        return None
    return Server(options.url, options.model or manifest["name"], options.timeout or _TIMEOUT)


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
    if options.url is not None:
        return "served"
    if options.end_to_end is not None:
        return "end_to_end"
    return "network_only" if options.network_only else "images"


def _check(manifest: Manifest, options: argparse.Namespace, mode: Mode) -> None:
    if options.path_output is not None and options.datalist is None:
        raise PackageError("--path-output needs --datalist: outputs are written for listed files only")
    _check_server(options)
    if options.shape is not None and (options.end_to_end is not None or mode == "network_only"):
        given = "network-only" if mode == "network_only" else "end-to-end"
        what = "files have their own sizes" if given == "end-to-end" else "the network has one size"
        raise PackageError(f"--shape is for random images; with --{given} {what}: leave it out")
    if mode == "network_only" and options.vdsp_params is not None:
        raise PackageError(
            "--vdsp-params changes the preprocessing, which --network-only leaves out; give only one of them"
        )
    if mode == "served":
        return
    shape = manifest["model"]["input"]["shape"][1:]
    if manifest["form"] == "tensor" and (given := options.datalist or options.end_to_end):
        raise PackageError(f"{given} contains images, but this package was compiled to take tensors")
    if manifest["form"] == "tensor" and options.shape is not None and list(options.shape) != shape:
        raise PackageError(
            f"--shape {list(options.shape)}: this package takes tensors of {shape} and nothing else"
        )


def _check_server(options: argparse.Namespace) -> None:
    """What only a server needs, and what is a server's own affair."""
    if options.url is None:
        for name in ("model", "timeout"):
            if getattr(options, name) is not None:
                raise PackageError(f"--{name} is for a server; give --url with it, or leave it out")
        return
    if options.datalist is not None or options.network_only:
        given = "datalist" if options.datalist is not None else "network-only"
        raise PackageError(
            f"--{given}: a server is sent encoded images; give image files with --end-to-end, or random "
            "ones with --shape"
        )
    settings = ("providers", "device", "hint", "threads", "vdsp_params", "fallback", "provider_option")
    chosen = ["engine"] if options.engine != "auto" else [name for name in settings if getattr(options, name)]
    if chosen:
        raise PackageError(f"--{chosen[0]} is the server's affair; leave it out with --url")


def _default_iterations(files: int, options: argparse.Namespace, batch: int) -> int:
    """Once over the files; where outputs are wanted, which takes a pass anyway, at most the default."""
    if options.datalist is None:
        return max(files, _ITERATIONS)
    once = math.ceil(files / batch)
    return once if options.path_output is None else max(min(once, _ITERATIONS), int(options.processes))
