"""What lies around zooc: its data files, the folders that it keeps things in, the programs that it calls."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from zooc.installation.finding import Finding
from zooc.resources import resource
from zooc.support.torch_hub import hub_folder
from zooc_runtime.errors import PackageError
from zooc_runtime.support.user_cache import CACHE_VARIABLE, cache_folder

__all__ = ["find_folders", "find_programs"]

_DATA = ("grammar/zooc.lark", "templates/pyproject.toml.j2", "docs/errors")
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
_INSTALLERS = {
    "apt-get": ("sudo apt-get install", {"npm": "npm", "Node.js": "nodejs npm", "Chromium": "chromium"}),
    "dnf": ("sudo dnf install", {"npm": "npm", "Node.js": "nodejs npm", "Chromium": "chromium"}),
    "brew": ("brew install", {"npm": "node", "Node.js": "node", "Chromium": "--cask chromium"}),
    "winget": (
        "winget install",
        {"npm": "OpenJS.NodeJS", "Node.js": "OpenJS.NodeJS", "Chromium": "Hibbiki.Chromium"},
    ),
}
_PAGES = {"npm": "nodejs.org", "Node.js": "nodejs.org", "Chromium": "www.chromium.org"}
_LIMIT = 20.0


def find_folders() -> list[Finding]:
    """Return the findings about zooc's data files, its cache, and torch's downloads."""
    return [_data(), _cache(), _torch_hub()]


def find_programs(base: Path) -> list[Finding]:
    """Return the findings about what `--for node`, `--for web` and `export-web` use.

    Args:
        base: the folder from which Node.js looks packages up.
    """
    found = [
        _program("Node.js", ("node",), "for `compile --for node` and `--for web`", version=True),
        _program("npm", ("npm",), "installs their packages"),
        _program("Chromium", _CHROMIUM, "shows the page of `export-web`; any other browser will do"),
    ]
    return [*found, *(_node_package(name, base) for name in ("onnxruntime-node", "onnxruntime-web"))]


def _data() -> Finding:
    try:
        places = [resource(name) for name in _DATA]
    except FileNotFoundError as error:
        return Finding("folders", "zooc's own files", "broken", str(error), "install zooc again")
    return Finding("folders", "zooc's own files", "ok", str(places[0].parent.parent))


def _cache() -> Finding:
    try:
        folder = cache_folder()
    except PackageError as error:
        return Finding("folders", "cache", "warning", str(error), f"set {CACHE_VARIABLE} to a folder")
    facts: dict[str, object] = {"folder": str(folder), "bytes": _size(folder), "writable": True}
    if (problem := _unwritable(folder)) is not None:
        facts["writable"] = False
        detail = f"{folder} cannot be written ({problem}); every compile exports and calibrates anew"
        return Finding(
            "folders", "cache", "warning", detail, f"set {CACHE_VARIABLE} to another folder", facts
        )
    return Finding("folders", "cache", "ok", f"{folder}: {_size(folder) / 1e6:.1f} MB", facts=facts)


def _torch_hub() -> Finding:
    folder = hub_folder()
    size = _size(folder)
    facts = {"folder": str(folder), "bytes": size}
    return Finding("folders", "torch's weights", "ok", f"{folder}: {size / 1e6:.1f} MB", facts=facts)


def _size(folder: Path) -> int:
    """Bytes of all files below, those aside that vanish or may not be seen; 0 if there is no such folder."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(path, name).lstat().st_size
    return total


def _unwritable(folder: Path) -> str | None:
    """Why no file can be made in the folder; of one that is yet to come, in the nearest that is there."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(path))
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        return error.strerror or str(error)


def _program(name: str, commands: tuple[str, ...], purpose: str, *, version: bool = False) -> Finding:
    path = next((found for command in commands if (found := shutil.which(command))), None)
    if path is None:
        facts: dict[str, object] = {"path": None}
        return Finding("programs", name, "absent", f"not found; {purpose}", _installer(name), facts)
    told = _version(path) if version else ""
    facts = {"path": path, "version": told or None}
    if version and not told:
        remedy = _installer(name)
        return Finding("programs", name, "warning", f"{path} does not start; {purpose}", remedy, facts)
    return Finding("programs", name, "ok", f"{path} {told}".rstrip(), facts=facts)


def _version(path: str) -> str:
    """What the program says of itself; nothing if it fails or does not end."""
    try:
        done = subprocess.run(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _installer(name: str) -> str:
    for command, (install, packages) in _INSTALLERS.items():
        if shutil.which(command):
            return f"{install} {packages[name]}"
    return f"install it from {_PAGES[name]}"


def _node_package(name: str, base: Path) -> Finding:
    """A package as Node.js looks it up: in `node_modules` here and in the folders above."""
    for folder in (base.absolute(), *base.absolute().parents):
        place = folder / "node_modules" / name
        if (place / "package.json").is_file():
            return Finding("programs", name, "ok", str(place), facts={"path": str(place)})
    purpose = f"for `compile --for {name.removeprefix('onnxruntime-')}`"
    detail = f"not found from {base.absolute()}; {purpose}"
    return Finding("programs", name, "absent", detail, f"npm install {name}", {"path": None})
