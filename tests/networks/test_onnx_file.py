from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from zooc.deployment import InputShape, Model, ModelSource
from zooc.diagnostics.diagnostic import SourceFile, Span, ZoocError
from zooc.networks.load import load_network
from zooc.networks.network import HeadFacts
from zooc.support.cache import Cache
from zooc_runtime.classes import softmax

FLOAT = TensorProto.FLOAT


def tensor(name, *shape, seed=0):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


def ints(name, values):
    return numpy_helper.from_array(np.asarray(values, np.int64), name)


def value(name, dims, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def body(last="logits"):
    """Conv, Relu, global pooling, Flatten, Gemm."""
    return [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g"], [last], name="fc"),
    ]


def make(nodes=None, inputs=None, outputs=None, constants=None, *, opset=20, ir=10, imports=(), functions=()):
    graph = helper.make_graph(
        body() if nodes is None else nodes,
        "g",
        [value("x", ["n", 3, 16, 16])] if inputs is None else inputs,
        [value("logits", ["n", 5])] if outputs is None else outputs,
        [tensor("w", 4, 3, 3, 3), tensor("g", 4, 5)] if constants is None else constants,
        doc_string="made in /home/somebody",
    )
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in imports)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir, functions=list(functions))


def describe(path, shape=None, classes=None):
    text = SourceFile("net.zoo", "source input classes")
    size = None if shape is None else InputShape(*shape, span=Span(text, 7, 12))
    source = ModelSource("onnx", str(path), span=Span(text, 0, 6))
    return Model(source, None, size, classes, classes_span=Span(text, 13, 20))


def load(made, tmp_path, shape=None, classes=None, cache=None):
    path = tmp_path / "net.onnx"
    path.write_bytes(made.SerializeToString() if isinstance(made, onnx.ModelProto) else made)
    return load_network(describe(path, shape, classes), cache or Cache(None))


def refused(made, tmp_path, shape=None, classes=None):
    with pytest.raises(ZoocError) as caught:
        load(made, tmp_path, shape, classes)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint
    return diagnostic


def run(made, images):
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def images(batch, size=16):
    return np.random.default_rng(3).standard_normal((batch, 3, size, size)).astype(np.float32)


def dims(info):
    return [d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim]


def test_a_plain_classifier_keeps_its_results_under_the_compilers_names(tmp_path):
    made = make()
    network = load(made, tmp_path)
    assert [(i.name, dims(i)) for i in network.model.graph.input] == [("input", ["batch", 3, 16, 16])]
    assert [(o.name, dims(o)) for o in network.model.graph.output] == [("logits", ["batch", 5])]
    assert (network.classes, network.height, network.width, network.batch) == (5, 16, 16, None)
    assert (network.origin, network.weights) == ('onnx("net.onnx")', "in the file")
    assert network.parameters == 4 * 3 * 9 + 20
    assert network.heads == (HeadFacts(5),)
    np.testing.assert_allclose(run(network.model, images(3)), run(made, images(3)), rtol=1e-5)


def test_documentation_and_metadata_do_not_travel_on(tmp_path):
    made = make()
    made.metadata_props.add(key="who", value="/home/somebody")
    made.graph.node[0].metadata_props.add(key="trace", value="/home/somebody/a.py")
    assert b"somebody" not in load(made, tmp_path).model.SerializeToString()


def test_nodes_without_names_get_unique_ones(tmp_path):
    names = [n.name for n in load(make(), tmp_path).model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert names[0] == "conv"


def test_names_that_the_compiled_graph_needs_are_freed(tmp_path):
    nodes = [*body("pixels"), helper.make_node("Relu", ["pixels"], ["logits"], name="prelude/relu")]
    nodes[0].input[0] = "image"
    made = make(nodes, inputs=[value("image", ["n", 3, 16, 16])])
    network = load(made, tmp_path)
    used = {name for n in network.model.graph.node for name in (*n.input, *n.output)}
    assert not used & {"image", "pixels", "probabilities"}
    assert not any(n.name.startswith("prelude/") for n in network.model.graph.node)
    np.testing.assert_allclose(run(network.model, images(2)), run(made, images(2)), rtol=1e-5)


def test_an_inner_tensor_called_input_does_not_collide(tmp_path):
    nodes = body()
    nodes[0].output[0] = nodes[1].input[0] = "input"
    made = make(nodes)
    np.testing.assert_allclose(run(load(made, tmp_path).model, images(2)), run(made, images(2)), rtol=1e-5)


def test_a_fixed_batch_is_freed_and_its_reshape_with_it(tmp_path):
    nodes = body()
    nodes[3] = helper.make_node("Reshape", ["p", "one"], ["f"])
    made = make(
        nodes,
        [value("x", [1, 3, 16, 16])],
        [value("logits", [1, 5])],
        [tensor("w", 4, 3, 3, 3), tensor("g", 4, 5), ints("one", [1, -1])],
    )
    network = load(made, tmp_path)
    assert network.batch is None
    assert network.warnings == ()
    singles = np.concatenate([run(made, images(3)[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(run(network.model, images(3)), singles, rtol=1e-4, atol=1e-6)


def only_for_batch_one():
    """Adds a [1, 5] tensor that depends on the batch size: the mean over the batch."""
    nodes = [*body("s"), helper.make_node("ReduceMean", ["s", "zero"], ["m"], keepdims=1)]
    nodes.append(helper.make_node("Add", ["s", "m"], ["logits"]))
    constants = [tensor("w", 4, 3, 3, 3), tensor("g", 4, 5), ints("zero", [0])]
    return make(nodes, [value("x", [1, 3, 16, 16])], [value("logits", [1, 5])], constants)


def test_a_batch_that_cannot_be_freed_stays_with_a_warning(tmp_path):
    network = load(only_for_batch_one(), tmp_path)
    assert network.batch == 1
    assert [d.code for d in network.warnings] == ["Z0220"]
    assert dims(network.model.graph.input[0]) == [1, 3, 16, 16]


def test_another_batch_than_the_only_one_possible_is_refused(tmp_path):
    found = refused(only_for_batch_one(), tmp_path, shape=(4, 3, 16, 16))
    assert found.code == "Z0220"
    assert found.span.text == "input"
    assert load(only_for_batch_one(), tmp_path, shape=(1, 3, 16, 16)).batch == 1


def test_the_description_may_fix_the_batch(tmp_path):
    network = load(make(), tmp_path, shape=(4, 3, 16, 16))
    assert network.batch == 4
    assert dims(network.model.graph.input[0])[0] == 4
    assert dims(network.model.graph.output[0])[0] == 4


def test_an_open_size_is_taken_from_the_description(tmp_path):
    made = make(inputs=[value("x", ["n", 3, "h", "w"])])
    network = load(made, tmp_path, shape=(None, 3, 20, 24))
    assert (network.height, network.width) == (20, 24)
    assert dims(network.model.graph.input[0]) == ["batch", 3, 20, 24]
    assert refused(made, tmp_path).code == "Z0215"


def test_another_size_than_the_files_is_refused_at_the_input_statement(tmp_path):
    found = refused(make(), tmp_path, shape=(None, 3, 32, 16))
    assert found.code == "Z0215"
    assert found.span.text == "input"
    assert "32" in found.message
    assert "16" in found.message


def test_another_number_of_classes_is_refused_at_the_classes_statement(tmp_path):
    found = refused(make(), tmp_path, classes=10)
    assert found.code == "Z0221"
    assert found.span.text == "classes"
    assert load(make(), tmp_path, classes=5).classes == 5


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"", None),
        (b"not onnx at all", "truncated"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS"),
        (b"PK\x03\x04rest", "PyTorch"),
    ],
)
def test_a_file_that_is_no_onnx_is_refused(tmp_path, content, note):
    found = refused(content, tmp_path)
    assert found.code == "Z0210"
    assert note is None or note in found.notes[0]


def test_a_truncated_file_is_refused(tmp_path):
    content = make().SerializeToString()
    assert refused(content[: len(content) // 2], tmp_path).code == "Z0210"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "absent.onnx", tmp_path):
        with pytest.raises(ZoocError) as caught:
            load_network(describe(path), Cache(tmp_path / "cache"))
        assert caught.value.diagnostics[0].code == "Z0210"


def save_external(made, folder):
    onnx.save(made, folder / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    return folder / "net.onnx"


def test_external_data_is_read_in(tmp_path):
    made = make()
    path = save_external(make(), tmp_path)
    network = load_network(describe(path), Cache(None))
    np.testing.assert_allclose(run(network.model, images(2)), run(made, images(2)), rtol=1e-5)


def test_missing_external_data_is_named(tmp_path):
    path = save_external(make(), tmp_path)
    (tmp_path / "net.data").unlink()
    with pytest.raises(ZoocError) as caught:
        load_network(describe(path), Cache(None))
    (found,) = caught.value.diagnostics
    assert found.code == "Z0211"
    assert "net.data" in found.message


def test_truncated_external_data_is_refused(tmp_path):
    path = save_external(make(), tmp_path)
    (tmp_path / "net.data").write_bytes(b"1234")
    with pytest.raises(ZoocError) as caught:
        load_network(describe(path), Cache(None))
    assert caught.value.diagnostics[0].code == "Z0211"


def test_external_data_outside_the_folder_is_refused(tmp_path):
    made = onnx.load(save_external(make(), tmp_path), load_external_data=False)
    made.graph.initializer[0].external_data[0].value = "../secret"
    assert refused(made, tmp_path).code == "Z0211"


def test_changed_external_data_is_not_mistaken_for_the_cached_network(tmp_path):
    cache = Cache(tmp_path / "cache")
    path = save_external(make(), tmp_path)
    before = load_network(describe(path), cache)
    data = bytearray((tmp_path / "net.data").read_bytes())
    data[1] ^= 0x40
    (tmp_path / "net.data").write_bytes(bytes(data))
    after = load_network(describe(path), cache)
    assert before.model.SerializeToString() != after.model.SerializeToString()


def test_two_inputs_are_refused_and_named(tmp_path):
    nodes = [*body("s"), helper.make_node("Add", ["s", "y"], ["logits"])]
    found = refused(make(nodes, [value("x", ["n", 3, 16, 16]), value("y", ["n", 5])]), tmp_path)
    assert found.code == "Z0212"
    assert "y (float32 [n, 5])" in found.notes[0]


def test_initializers_listed_as_inputs_are_no_inputs(tmp_path):
    inputs = [value("x", ["n", 3, 16, 16]), value("w", [4, 3, 3, 3]), value("g", [4, 5])]
    network = load(make(inputs=inputs), tmp_path)
    assert [i.name for i in network.model.graph.input] == ["input"]


@pytest.mark.parametrize("outputs", [[], [value("logits", ["n", 5]), value("f", ["n", 4])]])
def test_no_output_or_two_are_refused(tmp_path, outputs):
    assert refused(make(outputs=outputs), tmp_path).code == "Z0214"


@pytest.mark.parametrize(
    ("dtype", "shape", "words"),
    [
        (TensorProto.INT32, ["n", 3, 16, 16], "int32"),
        (TensorProto.STRING, ["n", 3, 16, 16], "string"),
        (FLOAT, [3, 16, 16], "[3, 16, 16]"),
    ],
)
def test_inputs_that_are_no_float32_image_are_refused(tmp_path, dtype, shape, words):
    found = refused(make(inputs=[value("x", shape, dtype)]), tmp_path)
    assert found.code == "Z0213"
    assert words in found.message


def test_a_class_id_as_output_is_refused(tmp_path):
    nodes = [*body("s"), helper.make_node("ArgMax", ["s"], ["logits"], axis=1, keepdims=0)]
    assert refused(make(nodes, outputs=[value("logits", ["n"], TensorProto.INT64)]), tmp_path).code == "Z0214"


def test_a_feature_map_as_output_is_refused(tmp_path):
    nodes = [helper.make_node("Conv", ["x", "w"], ["logits"])]
    assert refused(make(nodes, outputs=[value("logits", ["n", 4, 14, 14])]), tmp_path).code == "Z0214"


def test_scores_of_one_pixel_are_flattened(tmp_path):
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["logits"]),
    ]
    network = load(make(nodes, outputs=[value("logits", ["n", 4, 1, 1])]), tmp_path)
    assert network.classes == 4
    assert run(network.model, images(2)).shape == (2, 4)


@pytest.mark.parametrize(("op", "attributes"), [("Softmax", {"axis": -1}), ("Sigmoid", {})])
def test_an_activation_at_the_end_is_taken_off(tmp_path, op, attributes):
    nodes = [*body("s"), helper.make_node(op, ["s"], ["logits"], **attributes)]
    network = load(make(nodes), tmp_path)
    assert network.heads == (HeadFacts(5, op.lower()),)
    np.testing.assert_allclose(run(network.model, images(2)), run(make(body()), images(2)), rtol=1e-5)


def test_a_softmax_over_something_else_stays(tmp_path):
    nodes = [*body("s"), helper.make_node("Softmax", ["s"], ["logits"], axis=0)]
    made = make(nodes)
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    assert load(made, tmp_path).heads == (HeadFacts(5),)


def test_operators_that_are_not_onnxs_own_are_named(tmp_path):
    nodes = body()
    nodes[1] = helper.make_node("FusedRelu", ["c"], ["r"], domain="com.acme")
    nodes[2] = helper.make_node("Pooool", ["r"], ["p"])
    found = refused(make(nodes, imports=[("com.acme", 1)]), tmp_path)
    assert found.code == "Z0217"
    assert "Pooool, com.acme.FusedRelu" in found.message


def test_local_functions_are_inlined(tmp_path):
    double = [helper.make_node("Add", ["a", "a"], ["b"])]
    function = helper.make_function("local", "Double", ["a"], ["b"], double, [helper.make_opsetid("", 20)])
    nodes = [*body("s"), helper.make_node("Double", ["s"], ["logits"], domain="local")]
    made = make(nodes, imports=[("local", 1)], functions=[function])
    network = load(made, tmp_path)
    assert not network.model.functions
    assert {n.domain for n in network.model.graph.node} == {""}
    np.testing.assert_allclose(run(network.model, images(2)), run(made, images(2)), rtol=1e-5)


def test_an_old_opset_is_converted(tmp_path):
    nodes = [*body("s"), helper.make_node("Softmax", ["s"], ["logits"], axis=1)]
    made = make(nodes, opset=11, ir=6)
    network = load(made, tmp_path)
    assert [(o.domain, o.version) for o in network.model.opset_import] == [("", 20)]
    assert network.model.ir_version == 10
    assert network.heads[0].activation == "softmax"
    logits = run(network.model, images(2))
    np.testing.assert_allclose(softmax(logits), run(made, images(2)), rtol=1e-5)


def test_an_opset_that_cannot_be_converted_is_refused(tmp_path):
    found = refused(make(opset=1, ir=4), tmp_path)
    assert found.code == "Z0218"
    assert "opset 1" in found.message


def test_an_ir_version_of_the_future_is_refused_with_the_engines_reason(tmp_path):
    found = refused(make(ir=99), tmp_path)
    assert found.code == "Z0219"
    assert found.notes[0].startswith("Unsupported model IR version: 99")


def test_a_newer_opset_is_kept(tmp_path):
    network = load(make(opset=22), tmp_path)
    assert [(o.domain, o.version) for o in network.model.opset_import] == [("", 22)]


def test_an_opset_that_no_engine_has_whole_is_converted_back(tmp_path):
    nodes = [*body("s"), helper.make_node("Swish", ["s"], ["logits"])]
    made = make(nodes, opset=24)
    network = load(made, tmp_path)
    assert [(o.domain, o.version) for o in network.model.opset_import] == [("", 22)]
    assert [n.op_type for n in network.model.graph.node][-2:] == ["Sigmoid", "Mul"]
    np.testing.assert_allclose(run(network.model, images(2)), run(made, images(2)), rtol=1e-5)


def test_a_newer_operator_that_has_no_older_form_is_refused(tmp_path):
    weights = [tensor("w", 4, 3, 3, 3), tensor("g", 4, 5)]
    nodes = [*body("s"), helper.make_node("CumProd", ["s", "axis"], ["logits"])]
    found = refused(make(nodes, constants=[*weights, ints("axis", 1)], opset=26), tmp_path)
    assert found.code == "Z0218"
    assert "opset 26" in found.message and "opset 22" in found.message


def test_a_network_that_does_not_run_is_refused_with_the_engines_reason(tmp_path):
    constants = [tensor("w", 4, 3, 3, 3), tensor("g", 7, 5)]
    found = refused(make(constants=constants), tmp_path)
    assert found.code == "Z0219"
    assert found.notes


def test_the_cache_gives_the_same_network_without_reading_the_graph_again(tmp_path):
    cache = Cache(tmp_path / "cache")
    fresh = load(only_for_batch_one(), tmp_path, cache=cache)
    steps: list[str] = []
    again = load_network(describe(tmp_path / "net.onnx"), cache, on_progress=steps.append)
    assert steps == ["network found in the cache"]
    assert again.model == fresh.model
    assert [d.code for d in again.warnings] == ["Z0220"]
    assert (again.batch, again.parameters, again.weights_sha256) == (
        fresh.batch,
        fresh.parameters,
        fresh.weights_sha256,
    )


def test_a_file_over_two_gigabytes_is_refused_without_reading_it(tmp_path):
    path: Path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)
    with pytest.raises(ZoocError) as caught:
        load_network(describe(path), Cache(None))
    assert caught.value.diagnostics[0].code == "Z0209"
