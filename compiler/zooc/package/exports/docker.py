"""A folder from which `docker build` makes the image of a package's server.

The base image is one of Python's own, pinned by its tag; labels are those of the OCI image specification
(https://github.com/opencontainers/image-spec/blob/main/annotations.md), and `compose.yaml` follows
https://github.com/compose-spec/compose-spec.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.exports.image import GRACE, PORT, SCRATCH, USER, dns_label, serve_command
from zooc.package.exports.reading import Compiled
from zooc.package.templates import docker_string, render
from zooc_runtime.errors import PackageError
from zooc_runtime.package.manifest import MANIFEST, MANIFEST_HASH

__all__ = ["BASE", "build_context", "not_of_a_context"]

BASE = "python:3.13-slim-trixie"
_MARK = "# Written by `zooc export-docker`."
_FILES = frozenset({"Dockerfile", ".dockerignore", "compose.yaml", "package"})


def build_context(package: Compiled, image: str, engine: str | None) -> dict[str, bytes]:
    """Return the folder's files by relative path: the Dockerfile, the compose file, and the package.

    Args:
        package: with the files around its import package, from which `pip` builds the wheel.
        image: the name that `compose.yaml` gives to the image.
        engine: what runs the network, as of `serve_command`.

    Raises:
        ZoocError: Z0825, the package has no server, or is an installed one; Z0827, another engine.
    """
    command = serve_command(package, engine)
    files = {f"package/{path}": data for path, data in _distribution(package).items()}
    text = render(
        "docker/Dockerfile",
        mark=_MARK,
        base=BASE,
        extras="serve,openvino" if command[-1] == "openvino" else "serve",
        labels=" \\\n      ".join(f"{key}={docker_string(value)}" for key, value in _labels(package).items()),
        user=str(USER),
        port=str(PORT),
        command=json.dumps(command),
    )
    return {
        "Dockerfile": text.encode(),
        ".dockerignore": b"*\n!package\n**/__pycache__\n",
        "compose.yaml": _compose(package.name, image).encode(),
        **files,
    }


def not_of_a_context(directory: Path) -> str | None:
    """Return the name of an entry that no exported folder has, `None` for one that this module made."""
    stranger = next((p.name for p in sorted(directory.iterdir()) if p.name not in _FILES), None)
    if stranger is not None:
        return stranger
    try:
        ours = _MARK in (directory / "Dockerfile").read_text("utf-8").splitlines()[:2]
    except (OSError, UnicodeDecodeError):
        ours = False
    return None if ours else "another Dockerfile, or none"


def _distribution(package: Compiled) -> dict[str, bytes]:
    manifest = package.manifest
    around = manifest.build_folder
    if around is None:
        message = f"{package.name} is installed: what pip builds its wheel from is not beside it"
        hint = "give the folder that `zooc compile` wrote"
        raise ZoocError(error("Z0825", message, hint=hint))
    try:
        for complaint in manifest.changed_distribution_files():
            raise PackageError(complaint)
        files = {name: (around / name).read_bytes() for name in manifest.distribution_files}
        files |= {f"{package.name}/{name}": manifest.read(name) for name in manifest.files}
    except PackageError as problem:
        raise ZoocError(error("Z0222", str(problem), hint="compile the package again")) from None
    for name in (MANIFEST, MANIFEST_HASH):
        files[f"{package.name}/{name}"] = (manifest.directory / name).read_bytes()
    return files


def _labels(package: Compiled) -> dict[str, str]:
    manifest = package.manifest
    return {
        "org.opencontainers.image.title": package.name,
        "org.opencontainers.image.version": str(manifest["version"]),
        "org.opencontainers.image.description": f"A server of the image classifier {package.name}, "
        f"{manifest['quantization']['dtype']} from {manifest['model']['source']}",
        "org.opencontainers.image.base.name": f"docker.io/library/{BASE}",
        "zooc.version": str(manifest["zooc"]),
        "zooc.manifest.sha256": manifest.sha256,
    }


def _compose(name: str, image: str) -> str:
    service: dict[str, Any] = {
        "build": ".",
        "image": image,
        "ports": [f"127.0.0.1:{PORT}:{PORT}"],
        "read_only": True,
        "tmpfs": [SCRATCH],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "stop_grace_period": f"{GRACE}s",
    }
    text = yaml.safe_dump({"services": {dns_label(name): service}}, sort_keys=False, allow_unicode=False)
    return f"{_MARK}\n{text}"
