"""A `torch.export` program: a `.pt2` file, written by `torch.export.save`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx
import torch
from torch.utils import _pytree as tree

from zooc.deployment import InputShape, Model
from zooc.diagnostics.diagnostic import Span, ZoocError, error
from zooc.networks.onnx_file.operators import MIN_OPSET
from zooc.networks.torch.export import first_line, not_exported, quiet
from zooc.networks.torch.module_names import name_by_modules
from zooc.networks.torch.program.check_archive import ForeignObjectError, refuse_objects, tensors_only
from zooc.networks.torch.program.errors import unreadable
from zooc.networks.torch.program.outputs import arrays, names

__all__ = ["ExportedProgram"]


class ExportedProgram:
    """An opened program, its tensors on the CPU."""

    def __init__(self, path: Path, span: Span | None) -> None:
        """Open the file.

        Raises:
            ZoocError: `Z0229`: damaged, or of another version of torch; `Z0234`: it holds Python objects.
        """
        self._name, self._span = path.name, span
        try:
            refuse_objects(path)
            with quiet(), tensors_only():
                self._program = torch.export.load(path)
            self._to_cpu()
        except ForeignObjectError as problem:
            message = f"{path.name} holds more than a network; loading it would run code in the file"
            hint = "export the network again with torch.export.save, with plain tensors as weights"
            raise ZoocError(error("Z0234", message, span, notes=(str(problem),), hint=hint)) from problem
        except Exception as problem:  # damaged files and other versions fail wherever they happen to
            note = "it is damaged" if isinstance(problem, zipfile.BadZipFile) else first_line(problem)
            raise unreadable(path, span, f"torch {torch.__version__} cannot load it: {note}") from problem
        self._module: Any = None

    def example_sizes(self) -> tuple[int, ...] | None:
        """Return the sizes of the image that it was exported with; `None` where it takes no single tensor."""
        given = tree.tree_leaves(self._program.example_inputs)
        return tuple(given[0].shape) if len(given) == 1 and isinstance(given[0], torch.Tensor) else None

    def to_onnx(self, _model: Model, _shape: InputShape | None) -> onnx.ModelProto:
        """Return the program as an ONNX model; sizes that it leaves free are free there.

        Raises:
            ZoocError: `Z0208`.
        """
        try:
            with quiet(), torch.no_grad():
                spec = self._program.call_spec.out_spec
                outputs = names(tree.tree_unflatten(range(spec.num_leaves), spec))
                program = torch.onnx.export(
                    self._program,
                    (),
                    dynamo=True,
                    opset_version=MIN_OPSET,
                    output_names=outputs,
                    verbose=False,
                )
                model: onnx.ModelProto = program.model_proto
        except Exception as problem:  # the exporter raises errors of every layer it stands on
            raise not_exported(self._name, problem, self._span) from problem
        name_by_modules(model.graph)
        return model

    def run(self, image: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
        """Return the program's results for an image as it takes it."""
        if self._module is None:
            self._module = self._program.module()
        with quiet(), torch.no_grad():
            return arrays(self._module(torch.from_numpy(image)))

    def state(self) -> list[torch.Tensor]:
        """Return what a run must leave as it is."""
        return [] if self._module is None else [*self._module.buffers()]

    def _to_cpu(self) -> None:
        tensors = (*self._program.state_dict.values(), *self._program.constants.values())
        if any(isinstance(tensor, torch.Tensor) and tensor.device.type != "cpu" for tensor in tensors):
            from torch.export.passes import move_to_device_pass

            self._program = move_to_device_pass(self._program, "cpu")
