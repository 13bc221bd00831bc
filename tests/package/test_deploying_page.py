"""`docs/deploying.md`: its commands of `zooc` are run, those of others are checked, its code is executed."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.package.contents import PackageContents
from zooc.package.emit import emit_package

PAGE = (Path(__file__).parents[2] / "docs" / "deploying.md").read_text("utf-8")
ELSEWHERE = {"docker", "kubectl", "pip", "serve"}
"""Programs that are not run here; the files that their arguments name must be there."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def net(
    tmp_path: Path, tiny_contents: Callable[..., PackageContents], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The page's package, in the current folder's `build/net`."""
    monkeypatch.chdir(tmp_path)
    return emit_package(tiny_contents(name="net", version="1.0"), tmp_path / "build" / "net", force=False)


def test_the_commands_of_the_page_work(net: Path) -> None:
    ran = set()
    for line in "".join(blocks("sh")).splitlines():
        program, *arguments = shlex.split(line)
        if program == "zooc":
            result = CliRunner().invoke(app, arguments)
            assert result.exit_code == 0, result.output
            ran.add(arguments[0])
            continue
        assert program in ELSEWHERE, line
        for argument in arguments:
            place = re.fullmatch(r"(image|net\.yaml|\./models|build/net)(?:\[ray\]|:.*)?", argument)
            assert place is None or Path(place[1]).exists(), argument
        if program == "serve":
            module, _, name = arguments[1].partition(":")
            source = net / f"{module.replace('.', '/')}.py"
            assert re.search(rf"^(def {name}\(|{name} = )", source.read_text("utf-8"), re.MULTILINE)
    assert ran == {"export-docker", "export-kserve", "export-triton"}


def test_the_client_asks_what_triton_would_serve(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's code with the real client's tensors; in the server's place the graphs that it would run."""
    client = pytest.importorskip("tritonclient.http", reason="tritonclient[http] is not installed")
    assert CliRunner().invoke(app, ["export-triton", "build/net", "-o", "models"]).exit_code == 0
    Image.effect_noise((20, 30), 60).convert("RGB").save("cat.jpg")

    class Server:
        def __init__(self, url: str) -> None:
            assert url == "localhost:8000"

        def infer(self, model: str, inputs: list[Any], outputs: list[Any]) -> Any:
            ((given,), (wanted,)) = (inputs, outputs)
            tensor = np.frombuffer(given._get_binary_data(), np.uint8).reshape(given.shape())
            assert (model, given.name(), given.datatype()) == ("net", "image", "UINT8")
            for part in ("prelude", "network"):
                session = onnxruntime.InferenceSession(f"models/net_{part}/1/model.onnx")
                tensor = session.run(None, {session.get_inputs()[0].name: tensor})[0]
            labels = Path("models/net/labels_0.txt").read_text("utf-8").split("\n")
            count = wanted._get_tensor()["parameters"]["classification"]
            best = np.argsort(-tensor[0])[:count]
            text = [f"{tensor[0][i]:f}:{i}:{labels[i]}".encode() for i in best]
            assert wanted.name() == "probabilities"
            return SimpleNamespace(as_numpy=lambda _: np.array(text, object))

    stand_in = ModuleType("tritonclient.http")
    stand_in.__dict__.update(
        InferenceServerClient=Server,
        InferInput=client.InferInput,
        InferRequestedOutput=client.InferRequestedOutput,
    )
    monkeypatch.setitem(sys.modules, "tritonclient.http", stand_in)
    monkeypatch.setattr(sys.modules["tritonclient"], "http", stand_in)
    (code,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "deploying.md", "exec"), {})
    assert len(re.findall(r"b[\"']0\.\d+:\d:", printed.getvalue())) == 3


def test_the_configuration_of_ray_is_yaml_for_this_package() -> None:
    (config,) = (yaml.safe_load(block) for block in blocks("yaml"))
    (application,) = config["applications"]
    assert application["import_path"] == "net.serve_app:build"
    assert application["deployments"][0]["name"] == "net"
