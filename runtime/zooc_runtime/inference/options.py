"""The command line's options that say where the network runs: `--engine`, `--providers`, `--device`."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from typing import Any

from ..errors import PackageError
from .placement import Placement, find_provider, read_placement

__all__ = ["add_engine_options", "engine_arguments", "placement_of"]


def add_engine_options(
    parser: argparse.ArgumentParser,
    *,
    device: bool = True,
    engine_help: str = "auto, onnxruntime or openvino",
) -> None:
    """Add the options.

    Args:
        parser: a command's.
        device: whether to add `--device`; otherwise the command has its own.
        engine_help: what `--engine` means there.
    """
    add = parser.add_argument
    add("--engine", default="auto", help=engine_help)
    add(
        "--providers",
        metavar="P,P",
        help="execution providers of onnxruntime that run the network, by preference: "
        "cuda, tensorrt,cuda,cpu, qnn, ... (cpu); without cpu, nodes that none takes are an error",
    )
    add(
        "--provider-option",
        action="append",
        default=[],
        metavar="P.KEY=VALUE",
        help="an option of a provider, as cuda.device_id=1; may be repeated",
    )
    add("--fallback", action="store_true", help="leave out providers that cannot be had, with a warning")
    if device:
        add("--device", metavar="D", help="OpenVINO's device for the network: CPU, GPU, NPU or AUTO (CPU)")


def placement_of(options: argparse.Namespace) -> tuple[str, Placement]:
    """Return the engine and the placement that the options mean.

    Raises:
        PackageError: as `read_placement`.
    """
    given = engine_arguments(options)
    return read_placement(given["engine"], given["providers"], given["device"], given["fallback"])


def engine_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options as arguments of `open_package`.

    Raises:
        PackageError: an option of a provider that is not among the providers.
    """
    providers = None
    if options.providers is not None:
        names = [name.strip() for name in options.providers.split(",") if name.strip()]
        settings = _settings(options.provider_option, names)
        providers = [(name, settings.get(name, {})) for name in names]
    elif options.provider_option:
        raise PackageError(f"--provider-option {options.provider_option[0]}: give --providers with it")
    return {
        "engine": options.engine,
        "providers": providers,
        "device": options.device,
        "fallback": options.fallback,
    }


def _settings(given: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
    """The options by provider, as these are written in `--providers`."""
    found: dict[str, dict[str, str]] = {}
    written = {(find_provider(name) or name).lower(): name for name in names}
    for text in given:
        path, equals, value = text.partition("=")
        provider, dot, key = path.partition(".")
        if not (equals and dot and key):
            raise PackageError(
                f"--provider-option {text}: PROVIDER.KEY=VALUE is expected, as cuda.device_id=1"
            )
        name = written.get((find_provider(provider) or provider).lower())
        if name is None:
            near = difflib.get_close_matches(provider, names, 1)
            advice = f'did you mean "{near[0]}"?' if near else f"--providers has {', '.join(names)}"
            raise PackageError(f'--provider-option {text}: no provider "{provider}" is asked for; {advice}')
        found.setdefault(name, {})[key] = value
    return found
