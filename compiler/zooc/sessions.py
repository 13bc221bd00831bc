"""Opening ONNX models in ONNX Runtime, the same way everywhere in the compiler."""

from __future__ import annotations

import onnx
import onnxruntime

__all__ = ["open_session"]


def open_session(model: onnx.ModelProto, *, threads: int = 0) -> onnxruntime.InferenceSession:
    """A CPU session that prints nothing; `threads` 0 leaves their number to ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
