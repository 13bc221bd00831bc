"""A small iResNet: "Improved Residual Networks for Image and Video Recognition" (arXiv 2004.04989).

What sets it apart from a ResNet, and is hard on a quantizer: the sum of a block is not clamped by a ReLU, so
the main path carries signed values through a whole stage; a stage's middle and end blocks begin with ReLU, or
with BatchNorm and ReLU, which follow an addition and fold into no convolution before them; the end block puts
both behind its sum; projections with stride are a max pool before a 1 x 1 convolution.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

__all__ = ["IResNet"]

Place = Literal["start", "first middle", "middle", "end"]

EXPANSION = 4


class Block(nn.Module):
    """A bottleneck whose normalization depends on its place in the stage (figure 1 of the paper).

    The start block normalizes its branch before the sum, so the first middle block, which follows at once,
    needs no BatchNorm of its own in front; the end block normalizes and clamps the sum.
    """

    def __init__(self, place: Place, inputs: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        outputs = planes * EXPANSION
        entry: list[nn.Module] = [] if place == "start" else [nn.ReLU()]
        if place in ("middle", "end"):
            entry.insert(0, nn.BatchNorm2d(inputs))
        self.entry = nn.Sequential(*entry)
        self.conv1 = nn.Conv2d(inputs, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs) if place == "start" else nn.Identity()
        self.leave = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU()) if place == "end" else nn.Identity()
        self.relu = nn.ReLU()
        self.projection = _projection(inputs, outputs, stride) if place == "start" else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 `[N, inputs, H, W]` to `[N, 4 * planes, H / stride, W / stride]`."""
        branch = self.relu(self.bn1(self.conv1(self.entry(x))))
        branch = self.relu(self.bn2(self.conv2(branch)))
        sum_: torch.Tensor = self.leave(self.bn3(self.conv3(branch)) + self.projection(x))
        return sum_


def _places(depth: int) -> list[Place]:
    others: list[Place] = ["middle"] * (depth - 3)
    return ["start", "first middle", *others, "end"] if depth > 2 else ["start", "end"]


def _projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]
    if stride != 1:
        layers.insert(0, nn.MaxPool2d(3, stride, 1))
    return nn.Sequential(*layers)


class IResNet(nn.Module):
    """Stages of bottlenecks: start, middle ones, end; the stem is one 3 x 3 convolution of stride 2.

    Args:
        depths: blocks of each stage, at least two.
        planes: the bottlenecks' inner width in each stage; stages after the first halve the resolution.
        classes: of the classifier.
    """

    def __init__(self, depths: tuple[int, ...], planes: tuple[int, ...], classes: int) -> None:
        super().__init__()
        width = 2 * planes[0]
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages = []
        for number, (depth, inner) in enumerate(zip(depths, planes, strict=True)):
            blocks = []
            for place in _places(depth):
                stride = 2 if number and place == "start" else 1
                blocks.append(Block(place, width, inner, stride))
                width = inner * EXPANSION
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 `[N, 3, H, W]` to logits `[N, classes]`."""
        logits: torch.Tensor = self.head(self.stages(self.stem(x)))
        return logits
