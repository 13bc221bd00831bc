"""What the user is told about the parts of a transformer that stay in float."""

from __future__ import annotations

import numpy as np
import pytest

from zooc.passes.legalize.legalize import legalize
from zooc.quantization.layers import Quantized


def attention(n) -> None:
    """Patches, one pre-normalized block of attention and one of Gelu, the mean of the tokens."""
    patches = n.conv(n.begin(), 3, 16, name="patches", strides=[4, 4])
    x = n.add("Reshape", patches, n.store("tokens", [-1, 16, 16], np.int64), name="tokens")
    x = n.add("Transpose", x, name="turn", perm=[0, 2, 1])
    y = n.add("LayerNormalization", x, n.store("norm.weight", np.ones(16)), name="norm")
    q, k, v = (n.add("MatMul", y, matrix(n, c), name=c) for c in "qkv")
    scores = n.add("MatMul", q, n.add("Transpose", k, name="kt", perm=[0, 2, 1]), name="scores")
    y = n.add("MatMul", n.add("Softmax", scores, name="softmax", axis=-1), v, name="attend")
    x = n.add("Add", x, n.add("MatMul", y, matrix(n, "out"), name="out"), name="sum")
    x = n.add("MatMul", n.add("Gelu", x, name="gelu"), matrix(n, "mlp"), name="mlp")
    n.finish(n.add("ReduceMean", x, n.store("axes", [1], np.int64), name="mean", keepdims=0))


def matrix(n, name: str) -> str:
    return n.store(f"{name}.weight", n.random.normal(0, 0.25, (16, 16)))


@pytest.fixture
def transformer(net, quantized) -> Quantized:
    n = net()
    attention(n)
    return quantized(legalize(n.model()), n.images())


def test_products_with_weights_are_integer_and_products_of_activations_are_not(transformer) -> None:
    dtypes = {layer.name: layer.dtype for layer in transformer.layers if layer.op in ("MatMul", "Conv")}
    integer = {name.split("/")[0] for name, dtype in dtypes.items() if dtype == "int8"}
    assert integer == {"patches", "q", "k", "v", "out", "mlp"}


def test_kinds_of_float_operators_are_counted_with_a_reason(transformer) -> None:
    own = {kind.op: (kind.count, kind.reason) for kind in transformer.float_kinds() if not kind.between}
    assert own == {
        "MatMul": (2, "multiplies two activations, as attention does, which is left exact"),
        "LayerNormalization": (1, "normalizes over computed statistics, which engines do in float only"),
        "Softmax": (1, "exponentials over a wide range, poor in eight bits"),
        "Gelu": (1, "engines have no integer form"),
        "ReduceMean": (1, "engines have no integer form"),
    }


def test_what_only_stands_between_comes_last(transformer) -> None:
    between = [kind.between for kind in transformer.float_kinds()]
    assert any(between)
    assert between == sorted(between)


def test_an_integer_network_has_no_float_kinds(net, quantized) -> None:
    n = net()
    n.head(n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act"), 8)
    assert quantized(legalize(n.model()), n.images()).float_kinds() == []
