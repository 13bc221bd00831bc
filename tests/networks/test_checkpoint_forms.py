"""A fine-tuned checkpoint compiles as its trainer left it, and brings its number of classes along."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.frontend.semantics.analyze import load_deployment
from zooc.networks.load import load_network
from zooc.networks.onnx_file.run_once import example_input
from zooc.networks.torch.checkpoint import classes_of
from zooc.support.cache import Cache

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
save_file = pytest.importorskip("safetensors.torch").save_file
pytestmark = pytest.mark.slow

CLASSES = 5
Keys = dict[str, Any]


def under(prefix: str, state: Keys) -> Keys:
    return {prefix + key: value for key, value in state.items()}


FORMS: dict[str, Callable[[Keys], Any]] = {
    "plain": lambda state: state,
    "whole checkpoint": lambda state: {"model_state_dict": state, "epoch": 3, "best": 0.9},
    "parallel": lambda state: {"state_dict": under("module.", state)},
    "lightning": lambda state: {
        "state_dict": {**under("model.", state), "criterion.weight": torch.ones(CLASSES)},
        "hyper_parameters": {"lr": 0.1},
        "epoch": 7,
    },
    "net": lambda state: under("net.", state),
    "backbone": lambda state: {"state_dict": under("backbone.", state), "optimizer": {"lr": 0.1}},
    "inside of another module": lambda state: {"net": under("encoder.backbone.", state)},
    "averaged": lambda state: {"model": {k: v * 0 for k, v in state.items()}, "state_dict_ema": state},
    "averaged, wrapped": lambda state: {"ema": {"module": state, "decay": 0.999}},
}
PREFIXES = {
    "lightning": "model.",
    "net": "net.",
    "backbone": "backbone.",
    "inside of another module": "encoder.backbone.",
}


@pytest.fixture(scope="module")
def module() -> Any:
    torch.manual_seed(0)
    return torchvision.models.squeezenet1_1(num_classes=CLASSES).eval()


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("form", [*FORMS, "safetensors"])
def test_new_writes_a_description_that_compiles_as_it_is(form: str, module: Any) -> None:
    file = "mine.safetensors" if form == "safetensors" else "mine.pth"
    if form == "safetensors":
        save_file(module.state_dict(), file)
    else:
        torch.save(FORMS[form](module.state_dict()), file)
    invoke("new", "torchvision.squeezenet1_1", "--weights", file)
    text = Path("squeezenet1_1.zoo").read_text("utf-8")
    assert re.search(rf"classes\s+{CLASSES}\b", text)
    assert "imagenet1k" not in text
    # Smaller than it is written, for speed.
    invoke("compile", "squeezenet1_1.zoo", "--set", "size=64", "-o", "build")
    manifest = json.loads(next(Path("build").glob("*/manifest.json")).read_text("utf-8"))
    prefix = PREFIXES.get(form)
    assert manifest["model"]["classes"] == CLASSES
    assert manifest["model"]["weights"] == file + (f" (keys without their `{prefix}`)" if prefix else "")


PROGRAMS: dict[str, Callable[[Any, Any, str], None]] = {
    "net.pt2": lambda module, image, file: torch.export.save(torch.export.export(module, (image,)), file),
    "net.pt": lambda module, image, file: torch.jit.trace(module, image).save(file),
    "net.onnx": lambda module, image, file: torch.onnx.export(module, (image,), file, verbose=False),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", PROGRAMS)
def test_new_describes_a_whole_network_so_that_it_compiles(file: str, module: Any) -> None:
    image = torch.from_numpy(example_input(1, 3, 64, 64))
    PROGRAMS[file](module, image, file)
    invoke("new", file)
    text = Path("net.zoo").read_text("utf-8")
    assert re.search(rf"classes\s+{CLASSES}\b", text)
    assert ("people whom you trust" in text) is (file != "net.onnx")
    invoke("compile", "net.zoo", "-o", "build")
    manifest = json.loads(next(Path("build").glob("*/manifest.json")).read_text("utf-8"))
    kind = "onnx" if file == "net.onnx" else "torch"
    assert manifest["model"]["source"] == f'{kind}("{file}")'
    assert manifest["model"]["classes"] == CLASSES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("file", PROGRAMS)
def test_a_whole_network_given_as_weights_is_told_to_be_the_source(file: str, module: Any) -> None:
    PROGRAMS[file](module, torch.from_numpy(example_input(1, 3, 64, 64)), file)
    done = CliRunner().invoke(app, ["new", "torchvision.squeezenet1_1", "--weights", file])
    text = f'model {{ source torchvision.squeezenet1_1  weights "{file}"  input [batch, 3, 64, 64] }}\n'
    Path("net.zoo").write_text(text + "package { name net }\n", encoding="utf-8")
    for given in (done, CliRunner().invoke(app, ["compile", "net.zoo"])):
        assert given.exit_code == 1
        assert "Z0231" in given.stderr
        assert f'source {"onnx" if file == "net.onnx" else "torch"}("{file}")' in given.stderr


def test_the_number_of_classes_need_not_be_written(module: Any, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    text = 'model { source torchvision.squeezenet1_1  weights "mine.pth"  input [batch, 3, 64, 64] }\n'
    (tmp_path / "net.zoo").write_text(text + "package { name net }\n", encoding="utf-8")
    deployment, _ = load_deployment(tmp_path / "net.zoo")
    assert deployment is not None
    assert load_network(deployment.model, Cache(None)).classes == CLASSES


ARCHITECTURES = [
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t"),
    *("mnasnet0_5", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5"),
    *("squeezenet1_1", "swin_t", "vgg11", "vit_b_16"),
]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_classes_are_found_whatever_the_order_of_the_file(name: str) -> None:
    with torch.device("meta"):
        options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        state = torchvision.models.get_model(name, num_classes=7, **options).state_dict()
    assert classes_of(state) == 7
    assert classes_of(dict(sorted(under("model.", state).items()))) == 7


def test_classes_can_be_asked_for() -> None:
    asked = ["new", "torchvision.resnet18", "--weights", "random", "--classes", "7"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert re.search(r"classes\s+7\b", Path("resnet18.zoo").read_text("utf-8"))
