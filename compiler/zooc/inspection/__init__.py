"""What an ONNX file, a package or a `.zoo` file's network holds: operators, parameters, work, sizes."""

from __future__ import annotations

from zooc.inspection.describe import Inspection, Port, inspect_model
from zooc.inspection.macs import count_macs, macs_of_nodes
from zooc.inspection.paths import inspect_deployment, inspect_path
from zooc.inspection.render import render
from zooc.models import count_parameters

__all__ = [
    "Inspection",
    "Port",
    "count_macs",
    "count_parameters",
    "inspect_deployment",
    "inspect_model",
    "inspect_path",
    "macs_of_nodes",
    "render",
]
