"""The examples of docs/serving.md run as they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"


def examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def here(text: str, server: Any) -> str:
    return text.replace("localhost:8000", f"127.0.0.1:{server.port}").replace("digits", "tinybird")


@pytest.mark.parametrize("number", [0, 1])
def test_curl(server: Any, support: Any, tmp_path: Path, number: int) -> None:
    if not shutil.which("curl") or not shutil.which("base64"):
        pytest.skip("there is no curl, or no base64")
    (tmp_path / "cat.jpg").write_bytes(support.jpeg())
    command = here(examples("sh")[number], server)
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    expected = server.models["tinybird"](tmp_path / "cat.jpg")
    assert json.loads(done.stdout)["outputs"][1]["data"][0].endswith(f":{expected.topk[0].label}")


def test_tritonclient(server: Any, support: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")
    monkeypatch.chdir(tmp_path)
    Path("cat.jpg").write_bytes(support.jpeg())
    names: dict[str, Any] = {}
    exec(here(examples("python")[0], server), names)
    names["client"].close()
    (scores,) = names["answer"].as_numpy("probabilities")
    assert scores.tolist() == server.models["tinybird"]("cat.jpg").probabilities.tolist()


def test_every_option_is_documented() -> None:
    import argparse

    from zooc_runtime.commands import serve

    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    text = PAGE.read_text("utf-8")
    own = {text for action in parser._actions for text in action.option_strings if text.startswith("--")}
    elsewhere = {"--engine", "--providers", "--provider-option", "--fallback", "--device"}
    for option in own - elsewhere - {"--help", "--threads", "--hint", "--quiet"}:
        assert option in text, option
