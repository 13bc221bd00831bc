"""The trained digits network made hard on purpose, in int8, on the 1000 held-back images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc_runtime import open_package
from zooc_runtime.package.manifest import find_package


@pytest.fixture(scope="module")
def held_back(digits: Any) -> list[tuple[np.ndarray, int]]:
    """Images, `uint8 [H, W, 3]`, and their classes."""
    made: Any = sys.modules["digits_make_dataset"]
    sources, rng = made.load_sources(), np.random.default_rng(11)
    return [
        (
            np.asarray(made.compose(sources.digits[i], sources.photos["test"], rng).image.convert("RGB")),
            int(sources.classes[i]),
        )
        for i in made.SPLITS["test"]
    ]


@pytest.mark.slow
def test_corrections_keep_the_hard_network_within_a_point_of_float(
    digits: Any, held_back: list[tuple[np.ndarray, int]], tmp_path: Path
) -> None:
    def top1(name: str, *overrides: str) -> float:
        file = digits.describe(network="hard", file="hard_top1.zoo")
        digits.compile(file, output=tmp_path / name, overrides=overrides)
        model = open_package(find_package(tmp_path / name))
        results = model([image for image, _ in held_back])
        right = [r.topk[0].index == label for r, (_, label) in zip(results, held_back, strict=True)]
        return float(np.mean(right))

    assert len(held_back) == 1000
    exact = top1("float", "quantize=fp32")
    assert exact > 0.95
    assert top1("corrected", "quantize.corrections=[equalization, bias]") > exact - 0.01
    assert top1("plain", "quantize.corrections=[]") < exact - 0.01, "the network is not hard"
