"""The digits example's networks: three families of residual classifiers, made small.

- `resnest`: timm's ResNet with ResNeSt's own blocks (Zhang et al., "ResNeSt: Split-Attention Networks",
  2020): the deep stem, split attention of radix 2, average pooling in place of strides.
- `iresnet`: see `iresnet.py`.
- `wide_resnet`: timm's ResNet with bottlenecks whose 3 x 3 convolutions are twice as wide as usual
  (Zagoruyko and Komodakis, "Wide Residual Networks", 2016, in torchvision's form, wide_resnet50_2).

Only widths and depth are less than the originals', and the max pool after the stem is gone, because 64 x 64
images are small.
"""

from __future__ import annotations

from iresnet import IResNet
from timm.models.resnest import ResNestBottleneck
from timm.models.resnet import Bottleneck, ResNet
from torch import nn

__all__ = ["CLASSES", "NETWORKS", "SIZE", "build_network"]

SIZE = 64
CLASSES = 10
NETWORKS = ("resnest", "iresnet", "wide_resnet")


def build_network(name: str = "resnest") -> nn.Module:
    """The untrained network `name`: float32 `[N, 3, 64, 64]`, normalized, to logits `[N, 10]`."""
    if name == "iresnet":
        return IResNet(depths=(2, 3, 4, 2), planes=(16, 32, 48, 64), classes=CLASSES)
    if name == "wide_resnet":
        network = ResNet(
            Bottleneck, layers=(2, 2, 2, 2), channels=(16, 24, 32, 48), base_width=128, num_classes=CLASSES
        )
    else:
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
