"""Where torch.hub, and so torchvision, keeps the checkpoints that it has downloaded."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["hub_folder"]


def hub_folder() -> Path:
    """Return the folder, whether it exists or not; found as torch finds it, without importing torch.

    A weights file named without a folder is looked for here if it is not where the description stands:
    `weights "wide_resnet50_2-95faca4d.pth"`.
    """
    home = os.environ.get("TORCH_HOME")
    if not home:
        home = str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    return Path(home).expanduser() / "hub" / "checkpoints"
