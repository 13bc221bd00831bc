"""A tiny project to break in every way, and the command line to break it with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

SIZE, CLASSES = 32, 4

MODEL = f'model {{ source onnx("net.onnx")  input [batch, 3, {SIZE}, {SIZE}]  classes {CLASSES} }}'
PREPROCESS = f"preprocess {{ ECenterCrop({SIZE})  ToTensor() }}"
INT8 = 'quantize int8 { calibrate max  data images("images") }'
FP32 = "quantize fp32"
POSTPROCESS = 'postprocess { softmax  topk 2  labels "labels.txt" }'
PACKAGE = 'package { name tiny  version "1.2.3" }'


def description(**blocks: str) -> str:
    """A whole `.zoo` file; a block given replaces the usual one."""
    usual = {
        "model": MODEL,
        "preprocess": PREPROCESS,
        "quantize": INT8,
        "postprocess": POSTPROCESS,
        "package": PACKAGE,
    }
    return "\n".join({**usual, **blocks}.values()) + "\n"


def network(
    *,
    batch: int | str = "n",
    channels: int = 3,
    size: int = SIZE,
    classes: int = CLASSES,
    inputs: int = 1,
    spoil: float | None = None,
) -> onnx.ModelProto:
    """conv, relu, pool, gemm; `spoil` goes among the first weights, further inputs are added to the first."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": 0.3 * rng.standard_normal((8, channels, 3, 3)),
        "b1": 0.1 * rng.standard_normal(8),
        "w2": 0.5 * rng.standard_normal((8, classes)),
        "b2": 0.1 * rng.standard_normal(classes),
    }
    if spoil is not None:
        weights["w1"].flat[5] = spoil
    names = [f"input{i or ''}" for i in range(inputs)]
    nodes = [
        helper.make_node("Conv", ["total", "w1", "b1"], ["c"], "stem/Conv", pads=[1] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["r"], "stem/Relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["logits"], "fc/Gemm"),
    ]
    first = helper.make_node("Sum" if inputs > 1 else "Identity", names, ["total"], "total")
    shape = [batch, channels, size, size]
    graph = helper.make_graph(
        [first, *nodes],
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        [numpy_helper.from_array(w.astype(np.float32), k) for k, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def picture(width: int = 60, height: int = 50, seed: int = 0) -> Image.Image:
    """A blurred RGB pattern."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@dataclass
class Outcome:
    """What a run of the command line left behind."""

    code: int
    out: str
    err: str

    def refused(self, diagnostic: str, *fragments: str) -> Outcome:
        """Asserts exit code 1 and an error with this code whose text (remedy too) holds the fragments."""
        return self._failed(1, f"error[{diagnostic}]", *fragments)

    def misused(self, *fragments: str) -> Outcome:
        """Asserts exit code 2, for usage, and the fragments."""
        return self._failed(2, *fragments)

    def warned(self, diagnostic: str, *fragments: str) -> Outcome:
        """Asserts success with a warning of this code that holds the fragments."""
        self.succeeded()
        return self._says(f"warning[{diagnostic}]", *fragments)

    def _failed(self, code: int, *fragments: str) -> Outcome:
        assert self.code == code, f"exit code {self.code}: {self.err}{self.out}"
        assert "Traceback" not in self.err + self.out
        return self._says(*fragments)

    def _says(self, *fragments: str) -> Outcome:
        said = " ".join(self.err.split())
        for fragment in fragments:
            assert fragment in said, f"{fragment!r} is not in: {self.err}"
        return self

    def succeeded(self) -> Outcome:
        """Asserts exit code 0 and no traceback."""
        assert self.code == 0, f"exit code {self.code}: {self.err}{self.out}"
        assert "Traceback" not in self.err + self.out
        return self

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@dataclass
class Project:
    """A folder of its own: `tiny.zoo`, `net.onnx`, `images/`, `labels.txt`; runs have it as their place."""

    folder: Path
    cache: Path
    before: set[str] = field(default_factory=set)

    def write(self, text: str | None = None, name: str = "tiny.zoo", **blocks: str) -> Path:
        """Writes the `.zoo` file: `text`, or the usual one with these blocks replaced."""
        path = self.folder / name
        path.write_text(description(**blocks) if text is None else text, "utf-8")
        return path

    def zooc(self, *arguments: str | Path, env: dict[str, str | None] | None = None) -> Outcome:
        """Runs the command line in this process."""
        from zooc.cli.app import app

        self.before = self.names()
        place = Path.cwd()
        os.chdir(self.folder)
        try:
            done = CliRunner().invoke(app, [str(a) for a in arguments], env=self._environment(env))
        finally:
            os.chdir(place)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Outcome(done.exit_code, done.stdout, done.stderr)

    def compile(self, *arguments: str | Path, **blocks: str) -> Outcome:
        """Compiles `tiny.zoo`, written anew where blocks are given, into `out`."""
        if blocks:
            self.write(**blocks)
        return self.zooc("compile", "tiny.zoo", "-o", "out", *arguments)

    def start(
        self,
        *arguments: str | Path,
        env: dict[str, str | None] | None = None,
        python: tuple[str, ...] = (),
        **options: Any,
    ) -> subprocess.Popen[str]:
        """Starts the command line in a process of its own."""
        environment = {**os.environ, **self._environment(env)}
        return subprocess.Popen(
            [sys.executable, *python, "-c", "from zooc.cli.app import main; main()", *map(str, arguments)],
            env={k: v for k, v in environment.items() if v is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **{"cwd": self.folder, **options},
        )

    def process(
        self,
        *arguments: str | Path,
        env: dict[str, str | None] | None = None,
        python: tuple[str, ...] = (),
        **options: Any,
    ) -> Outcome:
        """Runs the command line in a process of its own."""
        self.before = self.names()
        with self.start(*arguments, env=env, python=python, **options) as process:
            out, err = process.communicate(timeout=180)
        return Outcome(process.returncode, out, err)

    def package(self, *arguments: str | Path, folder: Path | None = None) -> Outcome:
        """Runs `python -m tiny` on the package compiled into `out`, or moved to `folder`."""
        done = subprocess.run(
            [sys.executable, "-m", "tiny", *map(str, arguments)],
            cwd=folder or self.folder / "out",
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def names(self) -> set[str]:
        """Every file and folder of the project but the interpreter's own."""
        found = (path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*"))
        return {name for name in found if "__pycache__" not in name}

    def wrote_nothing(self) -> bool:
        """Whether the last run left the project's folder as it was."""
        return self.names() == self.before

    def _environment(self, more: dict[str, str | None] | None) -> dict[str, str | None]:
        return {"ZOOC_CACHE": str(self.cache), "COLUMNS": "400", **(more or {})}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is before it is broken."""
    folder = tmp_path_factory.mktemp("template")
    onnx.save(network(), folder / "net.onnx")
    (folder / "images").mkdir()
    for index in range(6):
        picture(60 + index, 50, index).save(folder / "images" / f"{index}.jpg")
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\n", "utf-8")
    (folder / "tiny.zoo").write_text(description(), "utf-8")
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A fresh copy, with a cache of its own."""
    folder = tmp_path / "project"
    shutil.copytree(template, folder)
    return Project(folder, tmp_path / "cache")


@pytest.fixture
def make_network() -> Any:
    """`network`, for test files."""
    return network


@pytest.fixture
def make_picture() -> Any:
    """`picture`, for test files."""
    return picture
