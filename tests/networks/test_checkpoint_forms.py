"""A fine-tuned checkpoint compiles as its trainer left it, and brings its number of classes along."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.frontend.semantics.analyze import load_deployment
from zooc.networks.load import load_network
from zooc.support.cache import Cache

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")
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
    "inside of another module": lambda state: {"net": under("encoder.backbone.", state)},
    "averaged": lambda state: {"model": {k: v * 0 for k, v in state.items()}, "state_dict_ema": state},
    "averaged, wrapped": lambda state: {"ema": {"module": state, "decay": 0.999}},
}


@pytest.fixture(scope="module")
def module() -> Any:
    torch.manual_seed(0)
    return torchvision.models.squeezenet1_1(num_classes=CLASSES).eval()


@pytest.mark.parametrize("form", list(FORMS))
def test_new_writes_a_description_that_loads(
    form: str, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(FORMS[form](module.state_dict()), "mine.pth")
    done = CliRunner().invoke(app, ["new", "torchvision.squeezenet1_1", "--weights", "mine.pth"])
    assert done.exit_code == 0, done.output
    text = Path("squeezenet1_1.zoo").read_text("utf-8")
    assert re.search(rf"classes\s+{CLASSES}\b", text)
    assert "imagenet1k" not in text
    deployment, diagnostics = load_deployment(Path("squeezenet1_1.zoo"))
    assert deployment is not None, diagnostics
    network = load_network(deployment.model, Cache(None))
    assert network.classes == CLASSES
    prefix = {"lightning": "model.", "inside of another module": "encoder.backbone."}.get(form)
    assert network.weights == "mine.pth" + (f" (keys without their `{prefix}`)" if prefix else "")


def test_the_number_of_classes_need_not_be_written(module: Any, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    text = 'model { source torchvision.squeezenet1_1  weights "mine.pth"  input [batch, 3, 64, 64] }\n'
    (tmp_path / "net.zoo").write_text(text + "package { name net }\n", encoding="utf-8")
    deployment, _ = load_deployment(tmp_path / "net.zoo")
    assert deployment is not None
    assert load_network(deployment.model, Cache(None)).classes == CLASSES


def test_classes_can_be_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["new", "torchvision.resnet18", "--weights", "random", "--classes", "7"]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert re.search(r"classes\s+7\b", Path("resnet18.zoo").read_text("utf-8"))
