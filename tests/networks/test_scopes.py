from __future__ import annotations

import onnx
from onnx import TensorProto, helper, numpy_helper

from zooc.ir.rename import strip_metadata
from zooc.networks.torch.module_names import name_by_modules


def node(op, inputs, outputs, scopes=None):
    made = helper.make_node(op, inputs, outputs, name=f"node_{op}")
    if scopes is not None:
        made.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    return made


def exported():
    nodes = [
        node("Conv", ["input", "conv1.weight"], ["getitem"], "['', 'bn1', 'batch_norm']"),
        node("Relu", ["getitem"], ["relu"], "['', 'layer1', 'layer1.act', 'relu']"),
        node("Relu", ["relu"], ["relu_1"], "['', 'layer1', 'layer1.act', 'relu_1']"),
        node("ReduceMean", ["relu_1", "val_3"], ["mean"], "['', 'mean']"),
        node("Shape", ["mean"], ["val_9"], "not a list"),
        node("Gemm", ["mean", "fc.weight"], ["logits"], "['', 'fc', 'linear']"),
    ]
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, [1], [0.0]) for name in ("conv1.weight", "fc.weight")
    ]
    axes = helper.make_tensor("val_3", TensorProto.INT64, [2], [2, 3])
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("input", "logits")]
    return helper.make_graph(nodes, "g", ports[:1], ports[1:], [*weights, axes])


def test_nodes_are_named_after_modules_and_layers_after_their_weights():
    graph = exported()
    name_by_modules(graph)
    assert [n.name for n in graph.node] == [
        "conv1/Conv",
        "layer1.act/Relu",
        "layer1.act/Relu_1",
        "ReduceMean",
        "Shape",
        "fc/Gemm",
    ]


def test_tensors_follow_their_nodes_and_weights_keep_the_state_dicts_names():
    graph = exported()
    name_by_modules(graph)
    assert list(graph.node[1].input) == ["conv1/Conv:0"]
    assert list(graph.node[3].input) == ["layer1.act/Relu_1:0", "ReduceMean:const1"]
    assert {t.name for t in graph.initializer} == {"conv1.weight", "fc.weight", "ReduceMean:const1"}
    assert (graph.input[0].name, graph.output[0].name) == ("input", "logits")


def test_stripping_leaves_nothing_that_could_name_a_local_file():
    graph = exported()
    graph.initializer[0].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(graph.initializer[0]), "w"))
    model = helper.make_model(graph, producer_name="somebody's exporter", doc_string="/home/somebody")
    model.metadata_props.add(key="k", value="/home/somebody")
    model.graph.node[0].doc_string = "/home/somebody/a.py"
    model.graph.initializer[0].doc_string = "/home/somebody/a.py"
    model.graph.input[0].metadata_props.add(key="k", value="/home/somebody")
    strip_metadata(model)
    assert b"somebody" not in model.SerializeToString()
    assert isinstance(model, onnx.ModelProto)
