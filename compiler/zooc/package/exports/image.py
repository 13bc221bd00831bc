"""The container of a package's server: its name, its command, and what it is allowed."""

from __future__ import annotations

import re

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.exports.reading import Compiled

__all__ = ["GRACE", "PORT", "SCRATCH", "USER", "check_image", "default_image", "dns_label", "serve_command"]

PORT = 8000
USER = 65532
"""A number, by which Kubernetes sees that it is not root; that of `nonroot` in distroless images."""

SCRATCH = "/tmp"  # noqa: S108 - of a container of its own
"""The one folder that may be written."""

GRACE = 75
"""Seconds that the server may take to end: more than the longest that it waits for its last answers."""

# The grammar of https://github.com/distribution/reference/blob/main/regexp.go.
_HOST = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_DOMAIN = rf"(?:{_HOST}(?:\.{_HOST})*(?::[0-9]+)?/)?"
_PATH = rf"{_PART}(?:/{_PART})*"
_TAG, _DIGEST = r"[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}", "sha256:[a-f0-9]{64}"
_IMAGE = re.compile(rf"{_DOMAIN}{_PATH}(?::{_TAG})?(?:@{_DIGEST})?")


def check_image(name: str) -> str:
    """Return the name of an image, `[registry/]path[:tag][@digest]`.

    Raises:
        ZoocError: Z0826, it is no such name.
    """
    if _IMAGE.fullmatch(name):
        return name
    hint = "write it like registry.example.com/team/classifier:1.0"
    if _IMAGE.fullmatch(lower := name.lower()):
        hint = f"the path is in lower case: did you mean {lower}?"
    elif _IMAGE.fullmatch(bare := re.sub(r"^https?://|/+$", "", name)):
        hint = f"did you mean {bare}?"
    raise ZoocError(error("Z0826", f"{name!r} is not the name of an image", hint=hint))


def default_image(package: Compiled) -> str:
    """Return the name and version of a package as those of an image."""
    tag = re.sub(r"[^a-zA-Z0-9_.-]", "-", str(package.manifest["version"]))
    return f"{dns_label(package.name)}:{tag}"


def dns_label(name: str) -> str:
    """Return a package's name as Kubernetes and hosts write names: `[a-z0-9-]`, a letter first.

    Cut at 40, because Kubernetes' own names, up to 63, are made of it.
    """
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-")
    return label if label and label[0].isalpha() else f"zooc-{label}".rstrip("-")


def serve_command(package: Compiled, engine: str | None = None) -> list[str]:
    """Return the command that serves a package to other machines.

    Args:
        package: what is served.
        engine: what runs the network; `None` for ONNX Runtime, or what the package has in its place.

    Raises:
        ZoocError: Z0825, the package has no server; Z0827, it was not compiled for this engine.
    """
    manifest = package.manifest
    if not any(name.startswith("_runtime/serving/") for name in manifest.files):
        message = f"{package.name} has no server: it was compiled by an older zooc, {manifest['zooc']}"
        raise ZoocError(error("Z0825", message, hint="compile it again"))
    if engine is None:
        engine = "onnxruntime" if "onnxruntime" in manifest["engines"] else manifest["engines"][0]
    if engine not in manifest["engines"]:
        message = f"{package.name} was compiled for {', '.join(manifest['engines'])}, not for {engine}"
        hint = f"add {engine} to `engines` in its `package` block, and compile it again"
        raise ZoocError(error("Z0827", message, hint=hint))
    options = ["--host", "0.0.0.0", "--port", str(PORT), "--engine", engine]  # noqa: S104 - it is for others
    return ["python", "-m", package.name, "serve", *options]
