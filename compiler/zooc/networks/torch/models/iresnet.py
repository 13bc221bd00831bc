"""iResNet: our own implementation from the paper, under the official state dict's names.

Duta, Liu, Zhu, Shao: Improved Residual Networks for Image and Video Recognition, arXiv:2004.04989. Three
things differ from ResNet:

- A stage is one start block, several middle blocks and one end block, so that a ReLU stands on the main path
  only once a stage, at its end. Middle blocks are pre-activated (BatchNorm and ReLU come first); the start
  block normalizes its branch before the addition, the end block after it.
- The shortcut that shrinks the image is a max pooling, then a convolution with stride 1, then BatchNorm.
- The stem has no max pooling: the first stage's start block does it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["DEPTHS", "IResNet"]

DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "iresnet50": (3, 4, 6, 3),
    "iresnet101": (3, 4, 23, 3),
    "iresnet152": (3, 8, 36, 3),
    "iresnet200": (3, 24, 36, 3),
}
"""The blocks of each stage."""

_EXPANSION = 4


class _Block(nn.Module):  # type: ignore[misc]
    """A bottleneck: 1x1, 3x3, 1x1 convolutions, added to the shortcut.

    Args:
        channels: of the input.
        width: of the 3x3 convolution; the output has four times as many channels.
        stride: of the 3x3 convolution.
        place: of the block in its stage. The second block begins without BatchNorm, for the start block
            before it ends with one.
    """

    def __init__(self, channels: int, width: int, stride: int, place: str) -> None:
        super().__init__()
        result = _EXPANSION * width
        self.place = place
        if place in ("middle", "end"):
            self.bn0 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, result, 1, bias=False)
        if place in ("start", "end"):
            self.bn3 = nn.BatchNorm2d(result)
        self.relu = nn.ReLU(inplace=True)
        if place == "start":
            self.downsample = _shortcut(channels, result, stride)

    def forward(self, x: Any) -> Any:
        """Float32 `[batch, channels, h, w]` to `[batch, 4 * width, h / stride, w / stride]`, rounded up."""
        branch = x
        if self.place in ("middle", "end"):
            branch = torch.relu(self.bn0(x))
        elif self.place == "second":
            # The official ReLU works in place here, so that the trained networks' shortcut sees its result.
            branch = x = torch.relu(x)
        branch = self.relu(self.bn1(self.conv1(branch)))
        branch = self.conv3(self.relu(self.bn2(self.conv2(branch))))
        if self.place == "start":
            return self.bn3(branch) + self.downsample(x)
        total = branch + x
        return self.relu(self.bn3(total)) if self.place == "end" else total


def _shortcut(channels: int, result: int, stride: int) -> nn.Sequential:
    pool = [nn.MaxPool2d(3, stride, padding=1)] if stride > 1 else []
    return nn.Sequential(*pool, nn.Conv2d(channels, result, 1, bias=False), nn.BatchNorm2d(result))


class IResNet(nn.Module):  # type: ignore[misc]
    """The network, from float32 `[batch, 3, height, width]` to logits `[batch, classes]`."""

    def __init__(self, depths: tuple[int, int, int, int], classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        channels = 64
        for number, blocks in enumerate(depths):
            width = 64 << number
            setattr(self, f"layer{number + 1}", _stage(channels, width, blocks))
            channels = _EXPANSION * width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Any) -> Any:
        """Return the logits."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def _stage(channels: int, width: int, blocks: int) -> nn.Sequential:
    places = ["start", "second", *["middle"] * (blocks - 3), "end"]
    layers = [_Block(channels, width, 2, "start")]
    layers += [_Block(_EXPANSION * width, width, 1, place) for place in places[1:]]
    return nn.Sequential(*layers)
