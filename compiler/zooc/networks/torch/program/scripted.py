"""A TorchScript: a `.pt` file, written by `torch.jit.save` of a scripted or traced module."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch

from zooc.deployment import InputShape, Model
from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.networks.network import INPUT
from zooc.networks.onnx_file.guess import USUAL_SIZES, no_size
from zooc.networks.onnx_file.operators import MIN_OPSET
from zooc.networks.onnx_file.reader import read_onnx
from zooc.networks.onnx_file.run_once import ExecutionError, close, example_input, run_model
from zooc.networks.torch.export import first_line, not_exported, quiet
from zooc.networks.torch.module_names import name_by_scopes
from zooc.networks.torch.program.errors import unreadable
from zooc.networks.torch.program.outputs import arrays, names

__all__ = ["ScriptedProgram"]


class _InARow(torch.nn.Module):  # type: ignore[misc]
    """Gives the tensors of a script's dict or nested tuple as one flat tuple."""

    def __init__(self, script: Any) -> None:
        super().__init__()
        self.script = script

    def forward(self, image: Any) -> Any:
        from torch.utils import _pytree as tree

        return tuple(tree.tree_leaves(self.script(image)))


class ScriptedProgram:
    """An opened script, in evaluation mode on the CPU."""

    def __init__(self, path: Path, span: Span | None) -> None:
        """Open the file.

        Raises:
            ZoocError: `Z0229`: it is damaged, or of another version of torch.
        """
        self._name, self._span = path.name, span
        try:
            with quiet():
                self._script: Any = torch.jit.load(path, map_location="cpu").eval()
        except Exception as problem:  # damaged files and other versions fail wherever they happen to
            note = f"torch {torch.__version__} cannot load it: {first_line(problem)}"
            raise unreadable(path, span, note) from problem
        kinds = [p.dtype for p in self._script.parameters() if p.is_floating_point()]
        self._half = bool(kinds) and kinds[0] == torch.float16

    def guess_shape(self, model: Model) -> InputShape:
        """Return a usual size at which the script runs; the channels are those of its first convolution.

        Raises:
            ZoocError: `Z0815`: it runs at none.
        """
        weights = [p for p in self._script.parameters() if p.dim() == 4]
        channels = int(weights[0].shape[1]) if weights else 3
        for side in USUAL_SIZES:
            shape = InputShape(None, channels, side, side)
            if self._takes(self._example(model, shape, 1)):
                return shape
        raise no_size(model, self._name)

    def to_onnx(self, model: Model, shape: InputShape | None) -> onnx.ModelProto:
        """Return the script as an ONNX model for images of `shape`; its batch is free where that works.

        Raises:
            ZoocError: `Z0232` without a shape, `Z0207` where it does not run, `Z0208`.
        """
        if shape is None:
            raise ZoocError(
                error(
                    "Z0232",
                    f"the TorchScript {self._name} does not say which size of image it takes",
                    self._span,
                    hint="write the size in the model block, for example: input [batch, 3, 224, 224]",
                )
            )
        image = self._example(model, shape, shape.batch or 1)
        try:
            with quiet(), torch.no_grad():
                result = self._script(torch.from_numpy(image))
        except Exception as problem:  # a script refuses sizes by whatever its layers raise
            size = f"{shape.channels} x {shape.height} x {shape.width}"
            raise ZoocError(
                error(
                    "Z0207",
                    f"{self._name} does not take an input of {size}",
                    shape.span or self._span,
                    notes=(_reason(problem),),
                    hint="write the size that the model was made for",
                )
            ) from problem
        outputs = names(result)
        if shape.batch is None:
            try:
                free = self._export(image, outputs, free=True)
                more = self._example(model, shape, 3)
                if _same(self.run(more), run_model(free, more, outputs)):
                    return free
            except (ExecutionError, RuntimeError, ZoocError):
                pass  # it works for one batch size only; what follows says so
        return self._export(image, outputs, free=False)

    def run(self, image: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the script's results for an image as it takes it."""
        with quiet(), torch.no_grad():
            return arrays(self._script(torch.from_numpy(image)))

    def _takes(self, image: npt.NDArray[Any]) -> bool:
        try:
            self.run(image)
        except Exception:  # a script refuses sizes by whatever its layers raise
            return False
        return True

    def state(self) -> list[torch.Tensor]:
        """Return what a run must leave as it is."""
        return [*self._script.buffers()]

    def _example(self, model: Model, shape: InputShape, batch: int) -> npt.NDArray[Any]:
        image = example_input(batch, shape.channels, shape.height, shape.width)
        image = image.transpose(0, 2, 3, 1) if model.layout == "nhwc" else image
        return np.ascontiguousarray(image.astype(np.float16 if self._half else np.float32))

    def _export(self, image: npt.NDArray[Any], outputs: list[str], *, free: bool) -> onnx.ModelProto:
        given = torch.from_numpy(image)
        ends = {name: {0: "batch"} for name in (INPUT, *outputs)}
        try:
            with quiet(), torch.no_grad(), tempfile.TemporaryDirectory(prefix="zooc-") as folder:
                script = self._script
                if outputs != ["scores"]:
                    script = torch.jit.trace(_InARow(script), given, strict=False, check_trace=False)
                file = Path(folder, "script.onnx")
                torch.onnx.export(
                    script,
                    (given,),
                    file,
                    dynamo=False,
                    opset_version=MIN_OPSET,
                    input_names=[INPUT],
                    output_names=outputs,
                    dynamic_axes=ends if free else None,
                    verbose=False,
                )
                model = read_onnx(file, self._span)
        except Exception as problem:  # the exporter raises errors of every layer it stands on
            raise not_exported(self._name, problem, self._span) from problem
        name_by_scopes(model.graph)
        return model


def _same(expected: list[npt.NDArray[Any]], got: list[npt.NDArray[Any]]) -> bool:
    pairs = zip(expected, got, strict=True)
    return all(close(np.asarray(a, np.float32), np.asarray(b, np.float32), 1e-2) is None for a, b in pairs)


def _reason(problem: Exception) -> str:
    """The last line: a script's errors begin with its own source text."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[-1] if lines else type(problem).__name__
