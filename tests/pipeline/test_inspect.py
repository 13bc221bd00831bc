from __future__ import annotations

import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from zooc.diagnostics.diagnostic import ZoocError
from zooc.inspection.describe import inspect_model
from zooc.inspection.render import render
from zooc.ir.count import count_macs, count_parameters
from zooc.pipeline.inspect import inspect_path

FLOAT = TensorProto.FLOAT


def zeros(name, *shape, dtype=np.float32):
    return numpy_helper.from_array(np.zeros(shape, dtype), name)


def make(nodes, constants, inputs=None, outputs=(("logits", FLOAT, ["batch", None]),)):
    ports = inputs or [("input", FLOAT, ["batch", 3, 8, 10])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*p) for p in ports],
        [helper.make_tensor_value_info(*p) for p in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def float_network():
    nodes = [
        helper.make_node("Conv", ["input", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Conv", ["n", "dw"], ["d"], name="depthwise", group=4),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "fc"], ["logits"], name="fc"),
    ]
    constants = [zeros("w", 4, 3, 3, 3), zeros("b", 4), *(zeros(n, 4) for n in "stmv")]
    return make(nodes, [*constants, zeros("dw", 4, 1, 3, 3), zeros("fc", 4, 5)])


CONV = 4 * 4 * 5 * 27
DEPTHWISE = 4 * 2 * 3 * 9
FC = 4 * 5


def test_macs_are_outputs_times_weights_that_reach_each():
    assert count_macs(float_network()) == CONV + DEPTHWISE + FC


def test_macs_grow_with_the_batch():
    assert count_macs(float_network(), batch=7) == 7 * (CONV + DEPTHWISE + FC)


def test_macs_of_a_transposed_convolution_and_of_matmul():
    nodes = [
        helper.make_node("ConvTranspose", ["input", "w"], ["c"], strides=[2, 2]),
        helper.make_node("MatMul", ["c", "m"], ["logits"]),
    ]
    made = make(nodes, [zeros("w", 3, 2, 2, 2), zeros("m", 20, 6)], outputs=[("logits", FLOAT, None)])
    assert count_macs(made) == 3 * 8 * 10 * 2 * 4 + 2 * 16 * 6 * 20


def test_macs_are_found_where_shapes_are_computed_at_run_time():
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["c"]),
        helper.make_node("NonZero", ["ones"], ["where"]),
        helper.make_node("Transpose", ["where"], ["rows"]),
        helper.make_node("Reshape", ["rows", "flat"], ["indices"]),
        helper.make_node("Gather", ["c", "indices"], ["g"], axis=1),
        helper.make_node("Conv", ["g", "v"], ["logits"]),
    ]
    ones = numpy_helper.from_array(np.ones(4, np.float32), "ones")
    flat = numpy_helper.from_array(np.array([-1]), "flat")
    made = make(nodes, [zeros("w", 4, 3, 1, 1), zeros("v", 2, 4, 1, 1), ones, flat])
    assert count_macs(made) == 80 * 12 + 80 * 8


def test_a_model_whose_shapes_cannot_be_found_has_no_macs():
    made = make([helper.make_node("Conv", ["input", "w"], ["logits"])], [zeros("w", 4, 7, 1, 1)])
    made.graph.input[0].type.tensor_type.ClearField("shape")
    assert inspect_model(made, kind="onnx", name="x").macs is None


def test_parameters_are_weights_without_running_statistics():
    assert count_parameters(float_network()) == 4 * 27 + 4 + 8 + 36 + 20


def qdq_network():
    """A compiled graph in small: prelude, one integer convolution, one float convolution."""
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    zero = numpy_helper.from_array(np.uint8(0), "zero")
    nodes = [
        helper.make_node("Transpose", ["image"], ["chw"], name="prelude/transpose", perm=[2, 0, 1]),
        helper.make_node("Unsqueeze", ["chw", "axes"], ["nchw"], name="prelude/unsqueeze"),
        helper.make_node("Slice", ["nchw", "start", "end", "dims"], ["pixels"], name="prelude/slice"),
        helper.make_node("DequantizeLinear", ["pixels", "scale", "zero"], ["x"], name="x"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["dw"], name="dw", axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["db"], name="db", axis=0),
        helper.make_node("Conv", ["x", "dw", "db"], ["c"], name="conv"),
        helper.make_node("Conv", ["c", "v"], ["p"], name="float"),
        helper.make_node("ReduceMean", ["p", "hw"], ["logits"], name="mean", keepdims=0),
        helper.make_node("Softmax", ["logits"], ["probabilities"], name="postlude/softmax"),
    ]
    constants = [
        scale,
        zero,
        zeros("w", 4, 3, 3, 3, dtype=np.int8),
        numpy_helper.from_array(np.ones(4, np.float32), "ws"),
        zeros("wz", 4, dtype=np.int8),
        zeros("b", 4, dtype=np.int32),
        numpy_helper.from_array(np.ones(4, np.float32), "bs"),
        zeros("v", 5, 4, 1, 1),
        *(
            numpy_helper.from_array(np.array(v, np.int64), n)
            for n, v in (("axes", [0]), ("start", [0, 0]), ("end", [8, 8]), ("dims", [2, 3]), ("hw", [2, 3]))
        ),
    ]
    return make(
        nodes,
        constants,
        inputs=[("image", TensorProto.UINT8, ["height", "width", 3])],
        outputs=[("probabilities", FLOAT, ["batch", 5])],
    )


def test_a_compiled_graph_is_counted_by_its_network_alone():
    made = qdq_network()
    assert count_macs(made) == 36 * 4 * 27 + 36 * 5 * 4
    assert count_parameters(made) == 4 * 27 + 4 + 20


def test_convolutions_between_dequantize_nodes_count_as_integer():
    inspection = inspect_model(qdq_network(), kind="onnx", name="x")
    assert (inspection.convolutions, inspection.quantized_convolutions) == (2, 1)


def test_an_onnx_file_is_described(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(float_network(), path)
    plain = json.loads(json.dumps(inspect_path(path).to_json()))
    assert plain["inputs"] == [{"name": "input", "dtype": "float32", "shape": ["batch", 3, 8, 10]}]
    assert plain["outputs"][0]["name"] == "logits"
    assert plain["operators"]["Conv"] == 2
    assert next(iter(plain["operators"])) == "Conv"
    assert plain["opset"] == 20
    assert plain["flops"] == 2 * plain["macs"] == 2 * (CONV + DEPTHWISE + FC)
    assert plain["files"] == {"net.onnx": path.stat().st_size}


def write_package(folder):
    inner = folder / "net"
    inner.mkdir(parents=True)
    onnx.save(qdq_network(), inner / "model.onnx")
    (inner / "labels.txt").write_text("cat\n")
    model = {"source": "timm.resnet18", "weights": "w.pth", "classes": 5, "parameters": 1234}
    manifest = {
        "schema": 1,
        "name": "net",
        "version": "1.2.0",
        "zooc": "0.1.0",
        "form": "image",
        "model": model,
    }
    manifest["quantization"] = {"dtype": "int8"}
    (inner / "manifest.json").write_text(json.dumps(manifest))
    return inner


def test_a_package_is_described_from_either_of_its_folders(tmp_path):
    inner = write_package(tmp_path / "build")
    outer = inspect_path(tmp_path / "build")
    assert outer == inspect_path(inner)
    assert (outer.kind, outer.name, outer.parameters) == ("package", "net", 1234)
    assert outer.facts["version"] == "1.2.0"
    assert set(outer.files) == {"model.onnx", "labels.txt", "manifest.json"}


def test_a_folder_that_is_no_package_is_refused(tmp_path):
    with pytest.raises(ZoocError, match="Z0222"):
        inspect_path(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}'])
def test_a_damaged_manifest_is_refused(tmp_path, text):
    inner = write_package(tmp_path / "build")
    (inner / "manifest.json").write_text(text)
    with pytest.raises(ZoocError, match="Z0222"):
        inspect_path(inner)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ZoocError, match="Z0210"):
        inspect_path(tmp_path / "absent.onnx")


def test_the_rendering_names_what_matters_and_takes_names_literally():
    inspection = inspect_model(qdq_network(), kind="onnx", name="[red]net", files={"a": 10, "b": 3 << 20})
    console = Console(file=io.StringIO(), width=120)
    render(inspection, console)
    text = console.file.getvalue()
    for words in ("[red]net", "image: uint8 [height, width, 3]", "132 (0.000 M)", "1 of 2 (50%)", "3.00 MiB"):
        assert words in text
