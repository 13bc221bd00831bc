from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from typer.testing import CliRunner

from zooc.cli.app import app

TINY = "timm.test_resnet"
"""timm's own tiny model for tests, 0.5 M parameters."""


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


def export(*arguments: str):
    return CliRunner().invoke(app, ["export", *arguments])


def test_an_existing_file_is_refused_before_torch_is_asked():
    Path("resnest50-224.onnx").write_text("mine")
    done = export("official.resnest50", "--weights", "random")
    assert done.exit_code == 1
    assert "Z0226" in done.stderr
    assert Path("resnest50-224.onnx").read_text() == "mine"


@pytest.mark.parametrize("name", ["absent.pth", "weights/absent.pth"])
def test_a_missing_weights_file_is_named_with_the_places_searched(name, working_folder):
    done = export("official.resnest50", "--weights", name)
    assert done.exit_code == 1
    assert "Z0204" in done.stderr
    assert ("torch.hub" in done.stderr) == ("/" not in name)


def test_help_says_which_count_is_which():
    text = " ".join(export("--help").stdout.split())
    for words in ("9e8 * 2", "ResNeSt", "Wide ResNet", "zooc inspect"):
        assert words in text


@pytest.mark.slow
def test_the_file_takes_any_batch_under_the_name_input(working_folder):
    pytest.importorskip("timm")
    done = export(TINY, "--size", "64", "--weights", "random", "-o", "deep/er")
    assert done.exit_code == 0, done.stderr
    first, *counts = done.stdout.splitlines()
    assert first == "deep/er/test_resnet-64.onnx"
    assert [line.split("  ")[-1].split(":")[0] for line in counts] == [
        "parameters",
        "FLOPs",
        "operations",
        "MACs",
    ]
    model = onnx.load(first)
    (given,) = model.graph.input
    dims = given.type.tensor_type.shape.dim
    assert given.name == "input"
    assert dims[0].dim_param
    assert [d.dim_value for d in dims[1:]] == [3, 64, 64]
    assert [p.name for p in Path("deep/er").iterdir()] == ["test_resnet-64.onnx"]


@pytest.mark.slow
def test_json_gives_whole_numbers_and_the_models_own_size(working_folder):
    pytest.importorskip("timm")
    done = export(TINY, "--weights", "random", "--classes", "7", "--format", "json")
    answer = json.loads(done.stdout)
    assert answer["file"] == "test_resnet-160.onnx"
    assert answer["input"] == ["batch", 3, 160, 160]
    assert answer["classes"] == 7
    assert answer["operations"] > answer["macs"] > 0
    assert answer["flops"] == pytest.approx(answer["operations"] / 0.9 * 2)
    assert answer["weights"] == "random(seed=0)"


@pytest.mark.slow
def test_a_bare_name_is_found_among_torch_hubs_downloads(working_folder):
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    folder = working_folder / "torch/hub/checkpoints"
    folder.mkdir(parents=True)
    state = torchvision.models.squeezenet1_1().state_dict()
    torch.save(state, folder / "mine.pth")
    done = export("torchvision.squeezenet1_1", "--size", "64", "--weights", "mine.pth", "--format", "json")
    answer = json.loads(done.stdout)
    assert answer["ok"]
    assert (answer["weights"], answer["parameters"]) == ("mine.pth", sum(t.numel() for t in state.values()))


@pytest.mark.slow
def test_weights_that_do_not_fit_are_named_key_by_key(working_folder):
    torch = pytest.importorskip("torch")
    torch.save({"state_dict": {"module.stray": torch.zeros(1)}}, "w.pth")
    done = export("official.iresnet50", "--weights", "w.pth")
    assert done.exit_code == 1
    assert "Z0205" in done.stderr
    assert "layer1.0.conv1.weight" in done.stderr
    assert "not in the model: stray" in done.stderr
    assert not list(Path().glob("*.onnx"))
