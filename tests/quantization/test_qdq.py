from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from zooc.deployment import CalibrationMethod, Quantize
from zooc.diagnostics.diagnostic import SourceFile, Span, ZoocError
from zooc.passes.legalize.legalize import legalize
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.qdq import quantize_body
from zooc.verification.agreement import sqnr_db
from zooc.verification.engine_view import inspect_optimized

INT8 = Quantize(dtype="int8", calibrate=CalibrationMethod("max"))


def residual(n) -> None:
    x = n.add("Relu", n.conv(n.begin(mask=True), 4, 8, name="stem", strides=[2, 2]), name="stem_act")
    x = n.add("MaxPool", x, name="maxpool", kernel_shape=[2, 2], strides=[2, 2])
    y = n.add("Relu", n.conv(x, 8, 8, name="block.conv1"), name="block.act")
    n.head(
        n.add("Relu", n.add("Add", n.conv(y, 8, 8, name="block.conv2"), x, name="block"), name="block.out"), 8
    )


def depthwise(n) -> None:
    six = (n.store("zero", 0.0), n.store("six", 6.0))
    x = n.add("Clip", n.conv(n.begin(), 3, 8, name="stem"), *six, name="act0")
    x = n.add("Clip", n.conv(x, 8, 8, name="dw", groups=8), *six, name="act1")
    x = n.add("AveragePool", x, name="avg", kernel_shape=[2, 2], strides=[2, 2])
    n.head(n.conv(x, 8, 16, k=1, name="project"), 16)


def squeeze_excite(n) -> None:
    x = n.conv(n.begin(), 3, 8, name="stem")
    x = n.add("Mul", x, n.add("Sigmoid", x, name="gate"), name="silu")
    s = n.add("GlobalAveragePool", x, name="squeeze")
    s = n.add("Sigmoid", n.conv(s, 8, 8, k=1, name="excite"), name="excite_gate")
    n.head(n.conv(n.add("Mul", x, s, name="scale"), 8, 8, name="last"), 8)


def split_attention(n, groups: int = 1) -> None:
    axis = n.store("axis", [1], np.int64)
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="stem_act")
    x = n.add("Relu", n.conv(x, 8, 16, name="conv", groups=groups), name="act")
    five = n.add("Reshape", x, n.store("to5", [-1, 2, 8, 16, 16], np.int64), name="five")
    total = n.add("ReduceSum", five, axis, name="total", keepdims=0)
    gap = n.add("ReduceMean", total, n.store("space", [2, 3], np.int64), name="gap", keepdims=1)
    hidden = n.add("Relu", n.conv(gap, 8, 8, k=1, name="fc1"), name="fc1_act")
    attention = n.conv(hidden, 8, 16, k=1, name="fc2")
    attention = n.add("Reshape", attention, n.store("to4", [-1, 1, 2, 8], np.int64), name="r1")
    attention = n.add(
        "Softmax", n.add("Transpose", attention, name="t", perm=[0, 2, 1, 3]), name="rs", axis=1
    )
    attention = n.add("Reshape", attention, n.store("a5", [-1, 2, 8, 1, 1], np.int64), name="r2")
    x = n.add("ReduceSum", n.add("Mul", five, attention, name="weigh"), axis, name="attend", keepdims=0)
    n.head(n.conv(x, 8, 8, name="next"), 8)


def radix_in_groups(n) -> None:
    split_attention(n, groups=2)


def radix_and_cardinality_in_groups(n) -> None:
    split_attention(n, groups=4)


def inception(n) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    one = n.add("Relu", n.conv(x, 8, 4, k=1, name="one"), name="one_act")
    two = n.add("Relu", n.conv(x, 8, 4, k=3, name="two"), name="two_act")
    x = n.add("Concat", one, two, name="join", axis=1)
    n.head(n.conv(x, 8, 8, name="last"), 8)


def mixed_concat(n) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    x = n.add("Concat", n.conv(x, 8, 4, name="signed"), x, name="join", axis=1)
    n.head(n.conv(x, 12, 8, name="last"), 8)


def matmul(n) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    x = n.add("Flatten", n.add("GlobalAveragePool", x, name="gap"), name="flat", axis=1)
    x = n.add("MatMul", x, n.store("head.weight", n.random.normal(0, 1, (8, 10))), name="head")
    n.finish(n.add("Add", x, n.store("head.bias", n.random.normal(0, 1, 10)), name="head_bias"))


def scalars(n) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    x = n.add("Mul", x, n.store("half", 0.37), name="scaled")
    x = n.add("Add", n.store("shift", [-1.3]), x, name="shifted")
    n.head(n.add("Relu", n.conv(x, 8, 8, name="last"), name="last_act"), 8)


def float_input(n) -> None:
    n.source = ("input", onnx.TensorProto.FLOAT)
    n.head(n.add("Relu", n.conv("input", 3, 8, name="stem"), name="act"), 8)


def explicit_normalization(n) -> None:
    x = n.add("Div", n.begin(), n.store("255", 255.0), name="unit")
    x = n.add("Sub", x, n.store("mean", np.full((3, 1, 1), 0.45)), name="centre")
    n.head(n.add("Relu", n.conv(x, 3, 8, name="stem"), name="act"), 8)


def convolutional_head(n) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    x = n.add("GlobalAveragePool", x, name="gap")
    n.finish(n.add("Flatten", n.conv(x, 8, 10, k=1, name="fc"), name="flat", axis=1))


def ends_in_a_convolution(n) -> None:
    x = n.add("Relu", n.conv(n.begin(), 3, 8, name="stem"), name="act")
    n.finish(n.conv(n.add("GlobalAveragePool", x, name="gap"), 8, 10, k=1, name="fc"))


NETS: list[Callable[..., None]] = [
    residual,
    depthwise,
    squeeze_excite,
    split_attention,
    radix_in_groups,
    radix_and_cardinality_in_groups,
    inception,
    mixed_concat,
    matmul,
    scalars,
    float_input,
    explicit_normalization,
    convolutional_head,
    ends_in_a_convolution,
]


@pytest.fixture(params=NETS, ids=lambda f: f.__name__)
def built(request, net):
    n = net()
    request.param(n)
    return n


@pytest.mark.parametrize("prepared", [False, True])
def test_int8_is_close_to_float_and_prepared_convolutions_are_integer(
    built, run, quantized, prepared: bool
) -> None:
    body, images = built.model(), built.images(16)
    result = quantized(legalize(body) if prepared else body, images)
    fresh = built.images(16, seed=7)
    reference = run(body, fresh)
    assert sqnr_db(reference, run(result.model, fresh)) > 25
    if prepared:
        assert inspect_optimized(result.model.SerializeToString(), result.layers).float_layers == ()


@pytest.mark.parametrize("build", [residual, depthwise, squeeze_excite, split_attention, inception, scalars])
def test_prepared_networks_have_no_float_islands(net, quantized, build) -> None:
    n = net()
    build(n)
    result = quantized(legalize(n.model()), n.images())
    found = inspect_optimized(result.model.SerializeToString())
    assert found.floating == 0
    assert found.conversions == 0
    assert {record.dtype for record in result.layers} == {"int8"}


@pytest.mark.parametrize("build", NETS)
def test_rewrites_keep_the_function(net, run, build) -> None:
    n = net()
    build(n)
    body, images = n.model(), n.images(4)
    before = body.SerializeToString()
    prepared = legalize(body)
    onnx.checker.check_model(prepared, full_check=True)
    np.testing.assert_allclose(run(prepared, images), run(body, images), atol=2e-4, rtol=1e-4)
    assert body.SerializeToString() == before


def test_split_attention_becomes_a_sigmoid_and_an_addition(net) -> None:
    n = net()
    split_attention(n)
    after = [node.op_type for node in legalize(n.model()).graph.node]
    assert not {"Softmax", "ReduceSum", "ReduceMean", "Transpose", "Reshape"} & set(after)
    assert after.count("Add") == after.count("Sigmoid") == 1
    assert after.count("Split") == after.count("Mul") == 2  # a Mul of everything would draw the sigmoid in


@pytest.mark.parametrize(("groups", "of_each"), [(1, [1]), (2, [1, 1]), (4, [1, 1])])
def test_groups_that_slices_do_not_cut_become_a_convolution_a_slice(net, groups: int, of_each) -> None:
    n = net()
    split_attention(n, groups)  # of four groups, the two narrow ones of a slice are joined
    nodes = [node for node in legalize(n.model()).graph.node if node.name.startswith("conv/Conv")]
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    assert [next(a.i for a in node.attribute if a.name == "group") for node in convolutions] == of_each
    names = ["conv/Conv"] if groups == 1 else ["conv/Conv#0", "conv/Conv#1"]
    assert [node.name for node in convolutions] == names


def test_groups_whose_result_is_read_whole_stay(net, run) -> None:
    n = net()
    x = n.add("Relu", n.conv(n.conv(n.begin(), 3, 8), 8, 16, name="conv", groups=2), name="act")
    n.add("Split", x, name="halves", outputs=2, axis=1, num_outputs=2)
    half = n.add("Mul", "halves_out", n.add("Sigmoid", "halves_out1"))
    n.head(n.add("Concat", half, x, axis=1), 24)
    assert_groups_stay(n, run)


def test_slices_of_unlike_width_stay_in_groups(net, run) -> None:
    n = net()
    x = n.add("Relu", n.conv(n.conv(n.begin(), 3, 8), 8, 16, name="conv", groups=2), name="act")
    n.add("Split", x, n.store("widths", [4, 12], np.int64), name="parts", outputs=2, axis=1)
    n.head(n.add("Add", n.conv("parts_out", 4, 8), n.conv("parts_out1", 12, 8)), 8)
    assert_groups_stay(n, run)


def assert_groups_stay(n, run) -> None:
    body, images = n.model(), n.images(4)
    prepared, expected = legalize(body), run(body, images)
    assert "conv/Conv" in {node.name for node in prepared.graph.node}
    np.testing.assert_allclose(run(prepared, images), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("conv", {"conv/Conv#0", "conv/Conv#1"}),
        ("conv/Conv", {"conv/Conv#0", "conv/Conv#1"}),
        ("*/Conv", {"stem/Conv", "conv/Conv#0", "conv/Conv#1", "fc1/Conv", "fc2/Conv", "next/Conv"}),
        ("conv/Conv#1", {"conv/Conv#1"}),
    ],
)
def test_a_convolution_that_became_several_is_kept_by_its_name(net, quantized, pattern, kept) -> None:
    n = net()
    radix_in_groups(n)
    result = quantized(legalize(n.model()), n.images(), replace(INT8, keep=(pattern,)))
    assert {r.name for r in result.layers if r.dtype == "float" and "/Conv" in r.name} == kept


@pytest.mark.parametrize("ceil_mode", [0, 1])
def test_average_pools_with_a_varying_divisor_stay(net, ceil_mode: int) -> None:
    n = net(size=15 if ceil_mode else 16)
    pads = [0] * 4 if ceil_mode else [1] * 4
    x = n.add(
        "AveragePool",
        n.conv(n.begin(), 3, 4),
        kernel_shape=[2, 2],
        strides=[2, 2],
        pads=pads,
        ceil_mode=ceil_mode,
    )
    n.head(x, 4)
    assert "AveragePool" in [node.op_type for node in legalize(n.model()).graph.node]


def test_the_first_convolution_eats_uint8(net, quantized) -> None:
    n = net()
    residual(n)
    model = quantized(n.model(), n.images()).model
    pad, dequantize = model.graph.node[:2]
    assert (pad.op_type, dequantize.op_type) == ("Pad", "DequantizeLinear")
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    scale, zero_point = (stored[name] for name in dequantize.input[1:])
    assert (scale, zero_point, zero_point.dtype) == (1.0, 0, np.uint8)
    assert "Cast" not in {node.op_type for node in model.graph.node}


def test_a_float_input_gets_its_own_pair(net, quantized) -> None:
    n = net()
    float_input(n)
    assert tensors_to_observe(n.model(), INT8)[0] == "input"
    model = quantized(n.model(), n.images()).model
    assert model.graph.node[0].op_type == "QuantizeLinear"
    assert model.graph.node[0].input[0] == "input"


def test_only_fused_outputs_are_observed_each_once(net) -> None:
    n = net()
    residual(n)
    acts = ["stem_act_out", "block.act_out", "block.conv2_out", "block.out_out"]
    assert tensors_to_observe(legalize(n.model()), INT8) == [*acts, "pool_out/pooled"]
    assert tensors_to_observe(n.model(), replace(INT8, dtype="fp32")) == []


def test_clamped_outputs_have_zero_point_zero(net, quantized) -> None:
    n = net()
    mixed_concat(n)
    records = {record.name: record for record in quantized(n.model(), n.images()).layers}
    assert records["stem/Conv"].zero_point == 0
    assert records["signed/Conv"].zero_point > 0


def test_a_concatenation_and_its_inputs_share_a_scale(net, quantized) -> None:
    n = net()
    inception(n)
    records = {record.name: record for record in quantized(n.model(), n.images()).layers}
    assert records["one/Conv"].scale == records["two/Conv"].scale == records["join/Concat"].scale


def test_pass_through_operators_share_a_scale_on_both_sides(net, quantized) -> None:
    n = net()
    residual(n)
    records = {record.name: record for record in quantized(n.model(), n.images()).layers}
    assert records["maxpool/MaxPool"].scale == records["stem/Conv"].scale
    assert records["block/Add"].scale != records["stem/Conv"].scale


def test_the_logits_stay_float_and_the_classifier_is_integer(net, quantized) -> None:
    n = net()
    residual(n)
    model = quantized(n.model(), n.images()).model
    assert model.graph.node[-1].op_type == "Gemm"
    assert list(model.graph.node[-1].output) == ["logits"]


def test_the_same_input_gives_the_same_bytes_and_leaves_the_body_alone(net, quantized) -> None:
    n = net()
    split_attention(n)
    body = n.model()
    before = body.SerializeToString()
    results = [quantized(legalize(body), n.images()).model.SerializeToString() for _ in range(2)]
    assert results[0] == results[1]
    assert body.SerializeToString() == before


def test_per_tensor_weights_have_one_scale(net, quantized) -> None:
    n = net()
    residual(n)
    n.weights["stem.weight"][0] *= 50
    one = quantized(n.model(), n.images(), replace(INT8, weights="per_tensor"))
    many = quantized(n.model(), n.images())
    spread = {r.name: r.weight_scale for r in one.layers}["stem/Conv"]
    assert spread[0] == spread[1]
    spread = {r.name: r.weight_scale for r in many.layers}["stem/Conv"]
    assert spread[0] < spread[1] / 10


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("fc", {"fc/Gemm"}),
        ("block", {"block.conv1/Conv", "block.conv2/Conv", "block/Add", "block.act/Relu", "block.out/Relu"}),
        ("*/Gemm", {"fc/Gemm"}),
        ("block.conv?", {"block.conv1/Conv", "block.conv2/Conv"}),
        ("stem", {"stem/Conv"}),
    ],
)
def test_keep_leaves_what_it_names_in_float(net, run, quantized, pattern: str, kept: set[str]) -> None:
    n = net()
    residual(n)
    result = quantized(n.model(), n.images(), replace(INT8, keep=(pattern,)))
    reasons = {record.name: record.reason for record in result.layers if record.dtype == "float"}
    assert {name for name, reason in reasons.items() if reason == f'kept by "{pattern}"'} == kept
    found = inspect_optimized(result.model.SerializeToString(), result.layers).float_layers
    assert {f.name for f in found} == {name for name in kept if name.endswith(("Conv", "Gemm"))}
    assert all(f.reason == f'kept by "{pattern}"' for f in found)
    assert sqnr_db(run(n.model(), n.images()), run(result.model, n.images())) > 25


def test_nodes_without_names_are_told_apart(net, run, quantized) -> None:
    n = net()
    residual(n)
    body = n.model()
    for node in body.graph.node:
        node.name = ""
    result = quantized(body, n.images())
    assert sqnr_db(run(body, n.images()), run(result.model, n.images())) > 25
    assert len({record.name for record in result.layers}) == len(result.layers)


def test_keeping_everything_is_exact(net, run, quantized) -> None:
    n = net()
    residual(n)
    result = quantized(n.model(), n.images(), replace(INT8, keep=("*",)))
    np.testing.assert_array_equal(run(result.model, n.images()), run(n.model(), n.images()))


def test_patterns_that_match_nothing_are_all_reported_with_near_names_and_spans(net) -> None:
    n = net()
    residual(n)
    source = SourceFile("a.zoo", 'keep fp32 ["bloc", "fc", "xyzzy"]')
    spans = (Span(source, 11, 17), Span(source, 19, 23), Span(source, 25, 32))
    with pytest.raises(ZoocError) as caught:
        tensors_to_observe(n.model(), replace(INT8, keep=("bloc", "fc", "xyzzy"), keep_spans=spans))
    first, second = caught.value.diagnostics
    assert (first.code, first.message, first.span) == (
        "Z0410",
        'no node matches the pattern "bloc"',
        spans[0],
    )
    assert first.hint is not None
    assert '"block"' in first.hint
    assert (second.span, second.hint) == (spans[2], "`zooc inspect` lists the network's node names")


def test_weights_that_are_not_finite_are_named(net) -> None:
    n = net()
    residual(n)
    n.weights["block.conv1.weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(
        ZoocError, match=r'Z0414: the weight "block.conv1.weight", used by block.conv1/Conv, has 1'
    ):
        quantize_body(n.model(), {}, INT8)


def test_missing_ranges_are_named(net) -> None:
    n = net()
    residual(n)
    with pytest.raises(
        ZoocError, match=r'Z0416: the calibration has no range for "block.act_out" \(1 missing\)'
    ):
        names = tensors_to_observe(n.model(), INT8)
        quantize_body(n.model(), {name: (0.0, 1.0) for name in names if name != "block.act_out"}, INT8)


def test_one_calibration_image_is_enough(net, run, quantized) -> None:
    n = net()
    residual(n)
    image = n.images(1)
    assert sqnr_db(run(n.model(), image), run(quantized(n.model(), image).model, image)) > 25


@pytest.mark.parametrize("what", ["dead channel", "dead layer", "constant", "huge bias", "tiny weights"])
def test_degenerate_layers_stay_sane(net, run, quantized, what: str) -> None:
    n = net()
    residual(n)
    weight, bias = n.weights["block.conv1.weight"], n.weights["block.conv1.bias"]
    if what == "dead channel":
        weight[3], bias[3] = 0, 0
    if what == "dead layer":
        weight[:], bias[:] = 0, 0
    if what == "constant":
        weight[:], bias[:] = 0, 2.5
    if what == "huge bias":
        weight[2], bias[2] = weight[2] * 1e-12, 3.0
    if what == "tiny weights":
        weight[1] *= 1e-30
    images = n.images()
    result = quantized(n.model(), images)
    reference = run(n.model(), images)
    found = run(result.model, images)
    assert np.isfinite(found).all()
    assert sqnr_db(reference, found) > 25


def test_an_all_zero_network_gives_its_bias(net, run, quantized) -> None:
    n = net()
    residual(n)
    for name, values in n.weights.items():
        if name.endswith((".weight", ".bias")) and not name.startswith("fc"):
            values[:] = 0
    np.testing.assert_allclose(
        run(quantized(n.model(), n.images()).model, n.images())[0], n.weights["fc.bias"], atol=1e-4
    )
