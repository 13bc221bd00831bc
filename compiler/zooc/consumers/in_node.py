"""Runs a graph in `onnxruntime-node` or `onnxruntime-web`, both by Node.js.

`onnxruntime-web` then computes in WebAssembly, by the file that a browser loads as well.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zooc.consumers.refusal import Refused
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.resources import resource
from zooc_runtime.support.arrays import AnyArray

__all__ = ["run_in_node"]

_TYPES = {"uint8": np.uint8, "float32": np.float32}


def run_in_node(
    package: str, model: bytes, inputs: Sequence[AnyArray], base: Path
) -> tuple[str, list[dict[str, AnyArray]]]:
    """The outputs of `model` for each input.

    Args:
        package: `onnxruntime-node` or `onnxruntime-web`.
        model: an ONNX file.
        inputs: uint8 or float32, one a run.
        base: the folder from which Node looks packages up, in `node_modules` there and above.

    Returns:
        The package's version, and for each input the outputs by name.

    Raises:
        Refused: the package cannot load or run the graph.
        ZoocError: Z0703, there is no Node.js, or no such package.
    """
    node = shutil.which("node")
    if node is None:
        raise _missing(package, "Node.js is not installed", "install Node.js 18 or newer, with npm")
    with tempfile.TemporaryDirectory(prefix="zooc-") as name:
        folder = Path(name)
        (folder / "model.onnx").write_bytes(model)
        task = [_write(folder, f"input_{index}.bin", value) for index, value in enumerate(inputs)]
        (folder / "task.json").write_text(json.dumps({"inputs": task}), "utf-8")
        command = [
            node,
            os.fspath(resource("templates/consumers/run.mjs")),
            name,
            package,
            os.fspath(base.absolute()),
        ]
        done = subprocess.run(command, capture_output=True, check=False, text=True, encoding="utf-8")
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise Refused(package, f"Node.js ended with status {done.returncode}: {last}") from None
        if "missing" in answer:
            raise _missing(
                package,
                f"Node.js finds no package {package} from {base}",
                f"npm install {package}, there or in a folder given with --node-modules",
            )
        if "error" in answer:
            raise Refused(f"{package} {answer['version']}", answer["error"])
        runs = [{o["name"]: _read(folder, o) for o in outputs} for outputs in answer["outputs"]]
        return answer["version"], runs


def _write(folder: Path, file: str, value: AnyArray) -> dict[str, object]:
    (folder / file).write_bytes(np.ascontiguousarray(value).tobytes())
    return {"file": file, "type": value.dtype.name, "dims": list(value.shape)}


def _read(folder: Path, output: dict[str, object]) -> AnyArray:
    values = np.fromfile(folder / str(output["file"]), _TYPES[str(output["type"])])
    return values.reshape(output["dims"])  # type: ignore[call-overload,no-any-return]


def _missing(package: str, message: str, hint: str) -> ZoocError:
    return ZoocError(error("Z0703", f"the graph cannot be tried in {package}: {message}", hint=hint))
