"""The trained digits network and a few of its images, and the same network made hard on purpose."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from zooc.calibration.table import format_table
from zooc.compilation import Compilation, Request
from zooc.passes.simplify.simplify import simplify
from zooc.pipeline.compile import compile_graph, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"

DESCRIPTION = """
model {{ source onnx("{network}.onnx")  input [batch, 3, 64, 64]  classes 10 }}
preprocess {{
  ECenterCrop(64)
  ToTensor()
  Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
}}
quantize int8 {{
  calibrate max
  corrections []
  data images("train")
  {statements}
}}
postprocess {{ softmax  labels "labels.txt" }}
package {{ name {network} }}
"""


class Found:
    """What the tests look at, of a compile's results."""

    def __init__(self, compiled: Compilation, context: Context, package: Path | None = None) -> None:
        self.warnings, self.package = context.warnings, package
        self.deployment, self.quantized, self.body = compiled.deployment, compiled.quantized, compiled.body
        self.prelude, self.float_body = compiled.program.prelude, compiled.program.body
        if compiled.int8 is not None:
            self.prepared_body = compiled.int8.legalized.body
            self.ranges, self.images = compiled.int8.calibrated.ranges, compiled.int8.calibrated.images
            self.contract = compiled.int8.contract


@dataclass(frozen=True)
class Workshop:
    """A folder with two networks, 24 training images, 160 held-back ones in class folders, and the labels."""

    folder: Path

    def describe(self, statements: str = "", network: str = "digits", file: str = "case.zoo") -> Path:
        """Writes a description and returns its path."""
        path = self.folder / file
        text = DESCRIPTION.format(network=network, statements=statements)
        path.write_text(text, encoding="utf-8")
        return path

    def compile(
        self,
        file: Path,
        output: Path | None = None,
        ranges: Path | None = None,
        overrides: tuple[str, ...] = (),
    ) -> Found:
        """Compiles without a cache and without a word; writes a package where it is told a place."""
        request = Request(file, output, overrides=overrides, ranges=ranges)
        context = Context(Cache(None), Progress())
        if output is None:
            return Found(compile_graph(request, context), context)
        done = compile_package(request, context)
        return Found(done.compiled, context, done.folder)

    def clipping_ranges(self, factor: float, tensors: Collection[str] = ()) -> Path:
        """A table of ranges in which those of `tensors`, of all without any, are `factor` times as wide."""
        found = self.compile(self.describe(file="plain.zoo")).ranges
        assert found is not None
        clipped = {
            name: (low * factor, high * factor) if not tensors or name in tensors else (low, high)
            for name, (low, high) in found.items()
        }
        path = self.folder / f"{'_'.join(tensors) or 'all'}.ranges"
        path.write_text(format_table(clipped), encoding="utf-8")
        return path


def _dataset_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_make_dataset", EXAMPLE / "make_dataset.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The trained network, and the same made hard on purpose as `hard`."""
    pytest.importorskip("sklearn")
    made = _dataset_module()
    folder = tmp_path_factory.mktemp("digits")
    sources = made.load_sources()
    rng = np.random.default_rng(7)
    for split, count in (("train", 24), ("test", 160)):
        for index in made.SPLITS[split][:count]:
            place = folder / split / str(sources.classes[index])
            place.mkdir(parents=True, exist_ok=True)
            image = made.compose(sources.digits[index], sources.photos[split], rng).image
            (place / f"{index}.jpg").write_bytes(made.encode(image, rng))
    shutil.copy(EXAMPLE / "digits_resnest.onnx", folder / "digits.onnx")
    shutil.copy(EXAMPLE / "labels.txt", folder)
    onnx.save(hard_network(onnx.load(folder / "digits.onnx")), folder / "hard.onnx")
    return Workshop(folder)


def hard_network(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function; two channels of `conv1.0` are 100 times as large, and `conv1.3` takes it back."""
    hard = simplify(model)
    stored = {tensor.name: tensor for tensor in hard.graph.initializer}
    first, second = (
        next(n for n in hard.graph.node if n.name == name) for name in ("conv1.0/Conv", "conv1.3/Conv")
    )
    channels = [3, 11]
    for name, axis, factor in (
        (first.input[1], 0, 100.0),
        (first.input[2], 0, 100.0),
        (second.input[1], 1, 0.01),
    ):
        values = numpy_helper.to_array(stored[name]).copy()
        np.moveaxis(values, axis, 0)[channels] *= np.float32(factor)
        stored[name].CopyFrom(numpy_helper.from_array(values, name))
    return hard
