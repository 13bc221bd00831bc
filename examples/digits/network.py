"""The digits example's network: timm's ResNet with ResNeSt's own blocks, made small.

Everything that makes resnest50d what it is (Zhang et al., "ResNeSt: Split-Attention Networks", 2020) is
here: the deep stem, split attention of radix 2, average pooling in place of strides. Only widths and depth
are less, and the max pool after the stem is gone, because 64 x 64 images are small.
"""

from __future__ import annotations

from timm.models.resnest import ResNestBottleneck
from timm.models.resnet import ResNet
from torch import nn

__all__ = ["CLASSES", "SIZE", "build_network"]

SIZE = 64
CLASSES = 10


def build_network() -> nn.Module:
    """The untrained network: float32 `[N, 3, 64, 64]`, normalized, to logits `[N, 10]`."""
    network = ResNet(
        ResNestBottleneck,
        layers=(1, 1, 1, 1),
        channels=(32, 32, 64, 128),
        num_classes=CLASSES,
        stem_type="deep",
        stem_width=16,
        avg_down=True,
        block_args={"radix": 2, "avd": True, "avd_first": False},
    )
    network.maxpool = nn.Identity()
    return network
