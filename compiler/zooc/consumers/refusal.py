"""A runtime that does not take the file, and which operator it says it is about."""

from __future__ import annotations

import re

__all__ = ["RuntimeRefusal"]

_OPERATOR = (
    # ONNX Runtime: "Could not find an implementation for Conv(11) node with name 'stem'"
    re.compile(r"implementation for (?:the node )?(?P<op>\w+)\s*\((?P<version>\d+)\)"),
    # ONNX Runtime: "ai.foo:Bar(-1) is not a registered function/op"
    re.compile(r":(?P<op>\w+)\((?P<version>-?\d+)\) is not a registered"),
    # ONNX Runtime: "Node (stem) Op (Conv) [ShapeInferenceError] ..."; of a run "while running Gather node"
    re.compile(r"Op \((?P<op>\w+)\)"),
    re.compile(r"while running (?P<op>\w+) node"),
    # OpenVINO 2026: "No conversion rule found for operations: MaxUnpool-20, ..."; before: "OpenVINO does not
    # support the following ONNX operations: MaxUnpool, ..."
    re.compile(r"(?:rule found for|following ONNX) operations: (?P<op>\w+)"),
)


class RuntimeRefusal(Exception):
    """A runtime cannot load or run the graph.

    Attributes:
        runtime: its name and version.
        message: what it said, on one line.
        operator: the operator that it named, `None` where it named none.
    """

    def __init__(self, runtime: str, message: str) -> None:
        self.runtime = runtime
        self.message = " ".join(message.split())[:600]
        found = (pattern.search(self.message) for pattern in _OPERATOR)
        match = next((m for m in found if m), None)
        self.operator = match["op"] if match else None
        super().__init__(f"{runtime}: {self.message}")
