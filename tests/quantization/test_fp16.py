from __future__ import annotations

import numpy as np
import onnx
import pytest

from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError
from zooc.quantization.fp16 import to_fp16
from zooc.verification.agreement import sqnr_db

FP16 = Quantize(dtype="fp16")


@pytest.fixture
def wide(net):
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 32, name="stem"), name="act")
    n.head(n.add("Relu", n.conv(x, 32, 32, name="body"), name="act2"), 32)
    return n


def test_the_file_halves_and_the_network_stays(wide, run) -> None:
    body = wide.model()
    result = to_fp16(body, FP16)
    onnx.checker.check_model(result.model, full_check=True)
    assert result.model.ByteSize() < 0.56 * body.ByteSize()
    assert sqnr_db(run(body, wide.images()), run(result.model, wide.images())) > 55
    assert {r.name: r.dtype for r in result.layers if r.op in ("Conv", "Gemm")} == {
        "stem/Conv": "fp16",
        "body/Conv": "fp16",
        "fc/Gemm": "fp16",
    }


def test_kept_nodes_keep_their_weights(wide) -> None:
    result = to_fp16(wide.model(), Quantize(dtype="fp16", keep=("fc",)))
    types = {t.name: t.data_type for t in result.model.graph.initializer}
    assert types["fc.weight"] == onnx.TensorProto.FLOAT
    assert types["body.weight/fp16"] == onnx.TensorProto.FLOAT16
    assert {r.name: r.reason for r in result.layers}["fc/Gemm"] == 'kept by "fc"'


@pytest.mark.parametrize(("factor", "reason"), [(1e7, "65504"), (1e-7, "too small")])
def test_values_outside_of_half_precision_stay_float32_and_are_reported(
    wide, run, factor, reason: str
) -> None:
    wide.weights["body.weight"] *= np.float32(factor)
    wide.weights["body.bias"] *= np.float32(factor)
    result = to_fp16(wide.model(), FP16)
    record = next(r for r in result.layers if r.name == "body/Conv")
    assert record.dtype == "float"
    assert reason in record.reason
    assert sqnr_db(run(wide.model(), wide.images()), run(result.model, wide.images())) > 55


def test_patterns_that_match_nothing_are_errors(wide) -> None:
    with pytest.raises(ZoocError, match="Z0410"):
        to_fp16(wide.model(), Quantize(dtype="fp16", keep=("stemm",)))
