from __future__ import annotations

from pathlib import Path

import pytest

from zooc.deployment import CalibrationMethod, Quantize
from zooc.frontend.semantics.analyze import load_deployment

FILE = """
model {{ source timm.resnet18  weights random(seed=0)  input [batch, 3, 64, 64]  classes 10 }}
preprocess {{ ECenterCrop(64)  ToTensor() }}
quantize int8 {{ data images("calibration") {} }}
package {{ name net }}
"""


def read(text: str, folder: Path, *overrides: str) -> Quantize:
    (folder / "calibration").mkdir(exist_ok=True)
    file = folder / "net.zoo"
    file.write_text(FILE.format(text), encoding="utf-8")
    deployment, diagnostics = load_deployment(file, None, overrides)
    assert deployment is not None, diagnostics
    return deployment.quantize


def test_by_default_biases_and_unlike_channels_are_corrected(tmp_path: Path) -> None:
    quantize = read("", tmp_path)
    assert quantize.corrections == ("equalization", "bias")
    assert (quantize.clip, quantize.activations, quantize.target) == ("max", "asymmetric", "vnni")


def test_corrections_are_applied_in_one_order_whatever_the_file_says(tmp_path: Path) -> None:
    quantize = read("corrections [bias, rounding, equalization]", tmp_path)
    assert quantize.corrections == ("equalization", "rounding", "bias")
    assert read("corrections []", tmp_path).corrections == ()
    assert read("", tmp_path, "quantize.corrections=[bias]").corrections == ("bias",)


def test_weights_take_a_way_to_clip(tmp_path: Path) -> None:
    quantize = read("weights per_tensor(clip=mse)", tmp_path)
    assert (quantize.weights, quantize.clip) == ("per_tensor", "mse")
    assert read("weights per_channel(clip=max)", tmp_path) == read("weights per_channel", tmp_path)


def test_activations_and_target_are_words(tmp_path: Path) -> None:
    quantize = read("activations symmetric  target cpu(any)", tmp_path)
    assert (quantize.activations, quantize.target) == ("symmetric", "any")


@pytest.mark.parametrize(
    ("vamc", "method"),
    [
        ("calibrate_mode percentile  calibrate_range 0.99999", CalibrationMethod("percentile", 99.999)),
        ("calibrate_range 0.9999", CalibrationMethod("percentile", 99.99)),
        ("calibrate_mode percentile", CalibrationMethod("percentile", 99.99)),
        ("calibrate_mode kl_divergence", CalibrationMethod("kl_divergence")),
        ("calibrate auto", CalibrationMethod("auto")),
    ],
)
def test_calibration_has_its_names_and_vamcs(vamc: str, method: CalibrationMethod, tmp_path: Path) -> None:
    assert read(vamc, tmp_path).calibrate == method


def test_float_drops_what_only_int8_uses(tmp_path: Path) -> None:
    text = "target cpu(any)  corrections [bias]  activations symmetric  calibrate_mode max"
    assert read(text, tmp_path, "quantize=fp32") == Quantize("fp32")
