"""What the shell completes arguments to: descriptions, packages, sources, codes.

It runs at every press of the key, so that nothing heavy is imported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

__all__ = [
    "codes",
    "descriptions",
    "descriptions_or_packages",
    "inspectable",
    "models",
    "packages",
    "runtimes",
    "sources",
]

_NETWORKS = frozenset({".onnx", ".pt2", ".pt"})
_LIBRARIES = ("timm", "torchvision")
_REGISTERED = re.compile(r"^@register_model\b.*?^def (\w+)", re.MULTILINE | re.DOTALL)
"""How both libraries mark the functions that make their models."""


def descriptions(incomplete: str) -> list[str]:
    """Return the `.zoo` files, and the folders that may hold some."""
    return _paths(incomplete, lambda path: path.suffix == ".zoo")


def packages(incomplete: str) -> list[str]:
    """Return the folders of packages, and those that may hold some."""
    return _paths(incomplete, _is_package)


def descriptions_or_packages(incomplete: str) -> list[str]:
    """Return both."""
    return _paths(incomplete, lambda path: path.suffix == ".zoo" or _is_package(path))


def inspectable(incomplete: str) -> list[str]:
    """Return both, and ONNX files."""
    return _paths(incomplete, lambda path: path.suffix in (".onnx", ".zoo") or _is_package(path))


def sources(incomplete: str) -> list[str]:
    """Return models, and files that are whole networks."""
    return [*models(incomplete), *_paths(incomplete, lambda path: path.suffix in _NETWORKS)]


def models(incomplete: str) -> list[str]:
    """Return official models and those of the libraries that are installed; first the libraries alone."""
    library, dot, _ = incomplete.partition(".")
    if dot and library in (*_LIBRARIES, "official"):
        names = sorted(f"{library}.{name}" for name in _models(library))
    else:
        names = ["official.", *(f"{name}." for name in _LIBRARIES if find_spec(name))]
    return [name for name in names if name.startswith(incomplete)]


def codes(incomplete: str) -> list[str]:
    """Return the codes of diagnostics."""
    from zooc.resources import resource

    names = sorted(path.stem for path in resource("docs/errors").glob("Z*.md"))
    return [name for name in names if name.startswith(incomplete)]


def runtimes(incomplete: str) -> list[str]:
    """Return the runtimes that `--for` takes."""
    return [name for name in ("node", "openvino", "web") if name.startswith(incomplete)]


def _models(library: str) -> Iterator[str]:
    """Yield the names of a library's models, read from its source: importing it takes seconds."""
    if library == "official":
        from zooc.networks.torch.official_names import OFFICIAL

        yield from OFFICIAL
        return
    spec = find_spec(library)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for file in Path(place, "models").glob("*.py"):
            yield from _REGISTERED.findall(file.read_text("utf-8"))


def _is_package(path: Path) -> bool:
    """Tell whether it is a package's folder, or the one that the compiler writes around it."""
    return (path / "manifest.json").is_file() or any(path.glob("*/manifest.json"))


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Return what is wanted, and the folders, that begin like `incomplete`, written as it is.

    A folder that is the only choice is entered: the shell would put a blank behind it.
    """
    folder, slash, start = incomplete.rpartition("/")
    found = []
    try:
        entries = sorted(Path(folder + slash or ".").expanduser().iterdir())
        for entry in entries:
            if entry.name.startswith(start) and (start or not entry.name.startswith(".")):
                text = f"{folder}{slash}{entry.name}"
                found += [text] if wanted(entry) else [f"{text}/"] if entry.is_dir() else []
    except (OSError, RuntimeError):
        return []
    return _paths(found[0], wanted) if len(found) == 1 and found[0].endswith("/") else found
