"""Protobuf stays where files are read and written: `zooc.ir`, and the modules that read others' files."""

from __future__ import annotations

import re
from pathlib import Path

import zooc

ROOT = Path(zooc.__file__).parent
READERS = {
    "networks/onnx_file/operators.py",
    "networks/onnx_file/reader.py",
    "networks/onnx_file/sound.py",
    "networks/torch/module_names.py",
}
TOUCHES = re.compile(
    r"onnx\.helper|numpy_helper|(Node|Tensor|Graph|Attribute|ValueInfo)Proto|\bop_type\b"
    r"|(?<!self)\.graph\.(node|initializer|input|output|value_info)\b"
)


def test_protobuf_is_touched_by_the_readers_of_files_only() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if path.relative_to(ROOT).parts[0] != "ir" and TOUCHES.search(path.read_text("utf-8"))
    }
    assert found == READERS
