"""What is fed with strange files: each target takes bytes and says in one word what became of them.

A target raises what no user may see. `ZoocError` and `PackageError` are answers; everything else is a
finding, as is an answer that took more processor time than `SLOW`.

    python tests/fuzz/targets.py TARGET [CORPUS]     # with atheris installed: guided by coverage
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zooc.calibration.file import Calibration, Identity
from zooc.calibration.imported import read_table
from zooc.calibration.table import parse_table
from zooc.cli.error_boundary import as_json
from zooc.deployment import Model, ModelSource
from zooc.diagnostics.diagnostic import Diagnostic, SourceFile, Span, ZoocError
from zooc.diagnostics.render import render
from zooc.frontend.semantics.analyze import load_deployment
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse
from zooc.quantization.placement_table import read_placement
from zooc.support.confined_worker import answer_forked
from zooc.vastai.import_files import import_files
from zooc_runtime.errors import PackageError
from zooc_runtime.evaluation.evaluation import Evaluation
from zooc_runtime.evaluation.ground_truth import Classes, read_synsets
from zooc_runtime.evaluation.measurement import measured
from zooc_runtime.evaluation.npz import read_datalist, read_input
from zooc_runtime.evaluation.part import Part, merge
from zooc_runtime.evaluation.result_file import read_results
from zooc_runtime.package.manifest import MANIFEST, MANIFEST_HASH, Manifest, manifest_hash_line
from zooc_runtime.preprocessing.decode import decode

__all__ = ["SLOW", "TARGETS", "Finding", "Target"]

SLOW = 0.5
"""Seconds of processor time that no answer may take."""

_MESSAGE = 8000
"""Characters that one rendered message may have."""

DESCRIPTION = b"""let size = 224  # pixels
model {
    source onnx("net.onnx")
    input [batch, 3, size, size]
    classes 4
}
preprocess {
    Resize(256, interpolation=bilinear)
    CenterCrop(size)
    ToTensor()
    Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
}
quantize int8 {
    calibrate percentile(99.99)
    data images("images", count=50, seed=1)
    keep fp32 ["fc*", "stem/**"]
    require drop <= 0.5% on images("val", count=1000)
}
postprocess { softmax  topk 3  labels "labels.txt" }
package { name tiny  version "1.2.3" }
variant fast { quantize = fp16  size = (224 + 32) * 2 / 2 }
"""
CONFIG = b"""name: resnet50
frontend:
  type: onnx
  checkpoint: weights/resnet50.onnx
  shape: {input: [1, 3, 224, 224]}
  dtype: fp32
graph: {extra_ops: {type: null}}
backend:
  type: tvm_vacc
  dtype: fp16
  quantize: {calibrate_mode: percentile, quantize_per_channel: false, calib_num: 1000}
  compile: {cluster_mode: 0}
dataset: {type: imagenet, path: images, sampler: {suffix: JPEG, get_data_num: 1000}}
workspace: {path: ./deploy, enable: true}
"""
VDSP = b"""{"OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR", "OpConfig": {
  "IimageFormat": "RGB_PLANAR", "ResizeType": "BILINEAR_PILLOW", "ResizeWidth": 256, "ResizeHeight": 256,
  "CropX": 16, "CropY": 16, "OimageWidth": 224, "OimageHeight": 224, "NormaType": "DIV255_MINUSMEAN_DIVSTD",
  "Mean": [0.485, 0.456, 0.406], "Std": [0.229, 0.224, 0.225], "ColorCvtCode": "NO_CHANGE"}}
"""
TABLE = b"""# tensor  range
pixels  255
"stem/Relu"  6.5  0  6.5
fc  15  -12.25  1.5e1
"""
PLACEMENT = b"""zooc-placement 1
network  tiny 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
zooc     0.9.0
cpu      "A processor"
cores    2
goal     latency
clock    wall
engine   onnxruntime 1.22.0 1.207

# activations
float    stem/Sigmoid
"""
MANIFEST_SEED = json.dumps(
    {
        "schema": 1,
        "name": "tiny",
        "version": "1.2.3",
        "files": {
            "model.onnx": {"sha256": "0" * 64, "bytes": 5},
            "labels.txt": {"sha256": "1" * 64, "bytes": 3},
        },
        "distribution_files": {"README.md": {"sha256": "2" * 64, "bytes": 7}},
    }
).encode()

Target = tuple[bytes, Callable[[bytes, Path], str]]


class Finding(Exception):
    """What a user must not see."""


def _told(found: list[Diagnostic] | tuple[Diagnostic, ...]) -> str:
    for diagnostic in found:
        text = render(diagnostic)
        if len(text) > _MESSAGE:
            raise Finding(f"a message of {len(text)} characters: {text[:200]}")
        if any(ord(char) < 32 and char != "\n" for char in text) or "\u202e" in text:
            raise Finding(f"a control character in: {text[:200]!r}")
        if diagnostic.code == "Z0900":
            raise Finding(text)
    json.dumps(as_json(found))
    return "refused" if any(finding.severity == "error" for finding in found) else "taken"


def _answer(work: Callable[[], Any]) -> str:
    try:
        work()
    except ZoocError as problem:
        return _told(problem.diagnostics)
    except PackageError as problem:
        if len(str(problem)) > _MESSAGE:
            raise Finding(f"a message of {len(str(problem))} characters") from problem
        return "refused"
    return "taken"


def _file(content: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def description(content: bytes, folder: Path) -> str:
    """`zooc check`, and `zooc fmt` of what parses."""
    path = _file(content, folder, "tiny.zoo")
    _, found = load_deployment(path, may_miss_files=True, may_miss_data=True)
    word = _told(found)
    text = content.decode("utf-8", "replace")
    tree, _ = parse(SourceFile("tiny.zoo", text))
    return word if tree is None else _answer(lambda: format_source(text, "tiny.zoo")) and word


def override(content: bytes, folder: Path) -> str:
    """`--set`."""
    path = folder / "whole.zoo"
    if not path.exists():
        path.write_bytes(DESCRIPTION)
    text = content.decode("utf-8", "surrogateescape")
    return _told(load_deployment(path, overrides=(text,), may_miss_files=True, may_miss_data=True)[1])


def config(content: bytes, folder: Path) -> str:
    """`zooc import net.yaml`."""
    found = import_files(_file(content, folder, "net.yaml"))
    if found.text is not None:
        found.text.encode()
    return _told(found.diagnostics)


def vdsp(content: bytes, folder: Path) -> str:
    """`zooc import params.json`."""
    found = import_files(_file(content, folder, "params.json"))
    return _told(found.diagnostics)


def table(content: bytes, folder: Path) -> str:
    """`--ranges` of a table."""
    path = _file(content, folder, "ranges.txt")
    return _answer(lambda: (text := read_table(path)) and parse_table(text))


def placement(content: bytes, folder: Path) -> str:
    """`--placement`."""
    return _answer(lambda: read_placement(_file(content, folder, "placement.txt")))


def calibration(content: bytes, folder: Path) -> str:
    """`--ranges` of a .calib file."""
    return _answer(lambda: Calibration.load(_file(content, folder, "x.calib")))


def part(content: bytes, folder: Path) -> str:
    """`eval merge` of a part that is the whole."""
    path = _file(content, folder, "x.part")
    return _answer(lambda: measured(merge([(path, Part.load(path))]), Evaluation(Classes(7))).to_json())


def npz(content: bytes, folder: Path) -> str:
    """`--image2npz` files."""
    return _answer(lambda: read_input(_file(content, folder, "x.npz")))


def lists(content: bytes, folder: Path) -> str:
    """Datalists, files of synsets, result files."""
    path = _file(content, folder, "list.txt")
    words = [
        _answer(lambda: read_datalist(path, must_exist=False)),
        _answer(lambda: read_synsets(path, 4)),
        _answer(lambda: read_results(path)),
    ]
    return "taken" if "taken" in words else "refused"


def manifest(content: bytes, folder: Path) -> str:
    """A package's manifest, with the hash that belongs to it."""
    _file(content, folder, MANIFEST)
    _file(manifest_hash_line(content), folder, MANIFEST_HASH)

    def work() -> None:
        found = Manifest(folder)
        list(found.changed_files())
        found.unexpected_files()

    return _answer(work)


def image(content: bytes, folder: Path) -> str:
    """An image, as bytes and as a file."""
    return _answer(lambda: decode(_file(content, folder, "x.jpg")))


def network(content: bytes, folder: Path) -> str:
    """`zooc inspect net.onnx`, and a compile as far as the network is loaded, in processes of their own."""
    path = _file(content, folder, "net.onnx")
    span = Span(SourceFile("tiny.zoo", 'model { source onnx("net.onnx") }'), 8, 32)
    model = Model(ModelSource("onnx", str(path), span), None, None, None)
    words = set()
    for function, arguments in (
        ("zooc.pipeline.inspect:inspect_file", (path, path.name)),
        ("zooc.networks.onnx_file.source:load_here", (model, folder / "network")),
    ):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        kind, value = answer_forked(function, arguments, memory=1024, seconds=3)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if used > SLOW:
            raise Finding(f"{used:.2f} s of processor time in {function}: {kind}")
        if kind in ("raised", "died", "late"):
            raise Finding(f"{function} {kind}: {value}")
        words.add(_told(value) if kind == "error" else "taken" if kind == "done" else kind)
    return "taken" if "taken" in words else "refused"


def _calib() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.calib")
        Calibration(Identity("0" * 64, "", "{}"), ranges={"pixels": (0.0, 255.0), "fc": (-1.0, 2.0)}).save(
            path
        )
        return path.read_bytes()


def _part() -> bytes:
    rows = {place: np.arange(place, place + 5) for place in range(2)}
    whole = Part({"package": "0" * 64}, 3, names=dict(enumerate("abc")), truth={0: 0, 1: 2, 2: 1}, rows=rows)
    whole.skipped[2] = "c: no image"
    with tempfile.TemporaryDirectory() as folder:
        whole.save(Path(folder, "x.part"))
        return Path(folder, "x.part").read_bytes()


def _npz() -> bytes:
    content = io.BytesIO()
    np.savez(content, input_0=np.arange(192, dtype=np.uint8).reshape(3, 8, 8))
    return content.getvalue()


def _image() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(content, "JPEG")
    return content.getvalue()


TARGETS: dict[str, Target] = {
    "description": (DESCRIPTION, description),
    "override": (b"model.input=[batch, 3, 224, 224]", override),
    "config": (CONFIG, config),
    "vdsp": (VDSP, vdsp),
    "table": (TABLE, table),
    "placement": (PLACEMENT, placement),
    "lists": (b"# zooc npz 1\nimages/0.npz\nimages/1.npz\n", lists),
    "manifest": (MANIFEST_SEED, manifest),
    "calibration": (_calib(), calibration),
    "part": (_part(), part),
    "npz": (_npz(), npz),
    "image": (_image(), image),
    "network": (b"", network),
}
"""By name: a sound file, and the target."""

BINARY = frozenset({"calibration", "part", "npz", "image"})


def _guided(name: str) -> None:
    import atheris

    target = TARGETS[name][1]
    folder = Path(tempfile.mkdtemp(prefix="zooc-fuzz-"))
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        atheris.instrument_all()
        atheris.Setup([sys.argv[0], *sys.argv[2:]], lambda data: target(data, folder))
        atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("ZOOC_CACHE", tempfile.mkdtemp(prefix="zooc-fuzz-cache-"))
    _guided(sys.argv[1])
