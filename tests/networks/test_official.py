from __future__ import annotations

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.deployment import InputShape, Model, ModelSource, RandomWeights

DATA = Path(__file__).parent / "data"
KEYS = json.loads((DATA / "official_keys.json").read_text())

PAGES = [
    ("official.iresnet50", 224, "25.557", "9.277"),
    ("official.iresnet101", 224, "44.549", "17.572"),
    ("official.iresnet152", 224, "60.193", "25.878"),
    ("official.iresnet200", 224, "64.674", "33.727"),
    ("official.resnest50", 224, "27.483", "12.065"),
    ("official.resnest101", 256, "48.275", "29.861"),
    # The page has 79.762: two digits changed places, for the same count gives its three siblings' figures.
    ("official.resnest200", 320, "70.202", "79.672"),
    ("official.resnest269", 416, "110.929", "173.421"),
]
"""Size, parameters (M) and FLOPs (G) as the networks' deployment pages print them."""

WIDE_PAGES = [("wide_resnet50_2", "68.883", "11.456"), ("wide_resnet101_2", "126.887", "22.838")]
"""Parameters (M) and thop's operations (G) at 224; the page calls them FLOPs."""


def draw(key: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)


def reference_weight(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 tensor that the reference logits were computed with, for one state-dict entry."""
    z = draw(key, shape)
    if len(shape) == 4:
        z *= np.sqrt(2.0 / np.prod(shape[1:]))
    elif len(shape) == 2:
        z *= 0.02
    elif key.endswith("running_var"):
        z = 1 + 0.1 * np.abs(z)
    elif key.endswith("weight"):
        z = 0.5 + 0.05 * z
    else:
        z *= 0.05
    return z.astype(np.float32)


def reference_input(size: int) -> np.ndarray:
    return draw("input", (1, 3, size, size)).astype(np.float32)


def create_on_meta(source: str, size: int):
    """The source's torch module as its publisher counts it: layers and shapes, no numbers."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("timm")
    from zooc.networks.torch.models import official as official_model
    from zooc.networks.torch.models import timm as timm_model
    from zooc.networks.torch.models import torchvision as torchvision_model

    kind, name = source.split(".")
    library = {"official": official_model, "timm": timm_model, "torchvision": torchvision_model}[kind]
    described = Model(ModelSource(kind, name), RandomWeights(0), InputShape(None, 3, size, size), 1000)
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr("zooc.networks.torch.load_weights.fill_randomly", lambda _module, _seed: None)
        return library.create(described)


@pytest.mark.slow
@pytest.mark.parametrize("name", KEYS)
def test_every_key_and_shape_is_the_official_one(name):
    state = create_on_meta(f"official.{name}", 224).module.state_dict()
    lines = "".join(f"{key} {list(state[key].shape)}\n" for key in sorted(state))
    assert len(state) == KEYS[name]["entries"]
    assert hashlib.sha256(lines.encode()).hexdigest() == KEYS[name]["sha256"]


@pytest.mark.slow
@pytest.mark.parametrize(("source", "size", "parameters", "flops"), PAGES)
def test_parameters_and_flops_are_those_of_the_deployment_pages(source, size, parameters, flops):
    from zooc.networks.torch.count_operations import count_operations

    created = create_on_meta(source, size)
    assert f"{sum(p.numel() for p in created.module.parameters()) / 1e6:.3f}" == parameters
    counted = count_operations(created.as_published(created.module), InputShape(None, 3, size, size))
    assert f"{counted / 9e8 * 2:.3f}" == flops


@pytest.mark.slow
@pytest.mark.parametrize("library", ["timm", "torchvision"])
@pytest.mark.parametrize(("name", "parameters", "operations"), WIDE_PAGES)
def test_wide_resnets_operations_are_those_of_their_page(library, name, parameters, operations):
    from zooc.networks.torch.count_operations import count_operations

    module = create_on_meta(f"{library}.{name}", 224).module
    assert f"{sum(p.numel() for p in module.parameters()) / 1e6:.3f}" == parameters
    assert f"{count_operations(module, InputShape(None, 3, 224, 224)) / 1e9:.3f}" == operations


@pytest.mark.slow
@pytest.mark.parametrize("name", ["iresnet50", "iresnet152", "resnest50", "resnest200"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_exports_answer_what_the_official_networks_do(name, tmp_path):
    import torch

    state = {
        f"module.{key}": torch.zeros(value.shape, dtype=value.dtype)
        if key.endswith("num_batches_tracked")
        else torch.from_numpy(reference_weight(key, tuple(value.shape)))
        for key, value in create_on_meta(f"official.{name}", 224).module.state_dict().items()
    }
    torch.save({"epoch": 9, "state_dict": state}, tmp_path / "drawn.pth")
    expected = np.load(DATA / f"{name}.npz")
    size = int(expected["size"])
    weights = str(tmp_path / "drawn.pth")
    arguments = ["export", f"official.{name}", "--size", str(size), "--weights", weights, "-o", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--format", "json"])
    assert done.exit_code == 0, done.output
    file = Path(json.loads(done.stdout)["file"])
    assert file.name == f"{name}-{size}.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"input": reference_input(size)})
    assert np.abs(logits - expected["logits"]).max() <= 1e-4
