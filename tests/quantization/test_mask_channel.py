from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from zooc.ir.graph import read_graph
from zooc.quantization.mask_channel import compensate_mask_channel, mask_channel
from zooc.quantization.scales import quantize_weight


def masked(net, k: int = 3):
    """A convolution over pixels and mask whose mask weights are unlike its others."""
    n = net()
    x = n.add("Relu", n.conv(n.begin(mask=True), 4, 8, k=k, name="stem"), name="act")
    n.head(x, 8)
    n.weights["stem.weight"][:, :3] /= 255
    n.weights["stem.weight"][:, 3] /= 300
    return n


def test_the_mask_channel_is_found_only_where_it_is(net) -> None:
    assert mask_channel(read_graph(masked(net).model()).nodes[2]) == 3
    plain = net()
    plain.head(plain.conv(plain.begin(), 3, 8, name="stem"), 8)
    assert mask_channel(read_graph(plain.model()).nodes[1]) is None
    other = masked(net)
    other.weights["mask/value"] = np.asarray(254, np.uint8)
    assert mask_channel(read_graph(other.model()).nodes[2]) is None


def test_rounding_the_mask_weights_does_not_move_the_interior(net, quantized) -> None:
    n = masked(net)
    model = quantized(n.model(), n.images()).model
    stored = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in model.graph.initializer}
    weight = stored["stem/Conv/weight_quantized"] * stored["stem/Conv/weight_scale"].reshape(-1, 1, 1, 1)
    bias = stored["stem/Conv/bias_quantized"] * stored["stem/Conv/bias_scale"]
    exact = n.weights["stem.bias"] + 255.0 * n.weights["stem.weight"][:, 3].astype(np.float64).sum((1, 2))
    found = bias + 255.0 * weight[:, 3].sum((1, 2))
    assert np.abs(found - exact).max() <= stored["stem/Conv/bias_scale"].max()
    uncorrected = n.weights["stem.bias"] + 255.0 * weight[:, 3].sum((1, 2))
    assert np.abs(uncorrected - exact).max() > 20 * np.abs(found - exact).max()


def test_weights_without_rounding_error_need_no_compensation() -> None:
    weight = np.array([[[[127.0]], [[-3.0]]]], np.float32)
    bias = np.array([5.0])
    quantized = quantize_weight(weight, bias, 0, np.float32(1.0), per_channel=True)
    np.testing.assert_array_equal(compensate_mask_channel(weight, quantized, bias, 1), bias)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_interior_outputs_have_no_common_shift(net, run, quantized, k: int) -> None:
    n = masked(net, k)
    n.nodes = n.nodes[:4]
    n.finish("act_out")
    n.nodes[-1].output[0] = "logits"
    for name in ("head/axes", "fc.weight", "fc.bias"):
        del n.weights[name]
    images = n.images(8)
    body = n.model()
    error = run(quantized(body, images).model, images) - run(body, images)
    margin = k // 2
    interior = error[:, :, margin : 16 - margin, margin : 16 - margin]
    step = run(body, images).max() / 255
    assert np.abs(interior.mean((0, 2, 3))).max() < 2 * step
