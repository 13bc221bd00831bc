"""The names of `official.NAME`, and what is known of each without torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["OFFICIAL", "RESNEST", "OfficialResnest"]


@dataclass(frozen=True, slots=True)
class OfficialResnest:
    """timm's name of the same network, the size it was trained for, and its checkpoint's file name."""

    timm: str
    size: int
    checkpoint: str


RESNEST: dict[str, OfficialResnest] = {
    "resnest50": OfficialResnest("resnest50d", 224, "resnest50-528c19ca.pth"),
    "resnest101": OfficialResnest("resnest101e", 256, "resnest101-22405ba7.pth"),
    "resnest200": OfficialResnest("resnest200e", 320, "resnest200-75117900.pth"),
    "resnest269": OfficialResnest("resnest269e", 416, "resnest269-0cc87c48.pth"),
}
"""zhanghang1989/ResNeSt."""

OFFICIAL: tuple[str, ...] = (*RESNEST, "iresnet50", "iresnet101", "iresnet152", "iresnet200")
"""Every name; the iResNets are those of iduta/iresnet."""
