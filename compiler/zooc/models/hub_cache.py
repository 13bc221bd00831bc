"""Finds a weights file: where the description says, or by its bare name among torch.hub's downloads."""

from __future__ import annotations

import os
from pathlib import Path

from zooc.deployment import FileWeights
from zooc.diagnostics import ZoocError, error

__all__ = ["hub_folder", "locate_weights"]


def hub_folder() -> Path:
    """Where `torch.hub` keeps downloaded checkpoints; found as torch finds it, without importing torch."""
    home = os.environ.get("TORCH_HOME")
    if not home:
        home = str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def locate_weights(weights: FileWeights) -> Path:
    """The file itself; else, if it was named without a folder, torch.hub's checkpoint of that name.

    `weights "wide_resnet50_2-95faca4d.pth"` therefore serves where torchvision has downloaded it before.

    Raises:
        ZoocError: `Z0204`: neither exists.
    """
    if weights.path.is_file():
        return weights.path
    notes: tuple[str, ...] = ()
    if _named_without_folder(weights):
        folder = hub_folder()
        if (cached := folder / weights.path.name).is_file():
            return cached
        notes = (f"nor is it among torch.hub's downloads in {folder}",)
    raise ZoocError(
        error(
            "Z0204",
            f"there is no weights file {weights.path}",
            weights.span,
            notes=notes,
            hint="paths are relative to the .zoo file",
        )
    )


def _named_without_folder(weights: FileWeights) -> bool:
    return weights.span is not None and not any(mark in weights.span.text for mark in ("/", "\\"))
