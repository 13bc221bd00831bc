"""Strange ONNX models: small classifiers, changed as a damaged exporter or an enemy would change them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["strange_model"]

_SIZES = [0, 1, -1, 2, 3, 7, 255, 4096, 2**31, 2**31 - 1, 2**32, 2**62, -(2**31), -(2**62)]
_NUMBERS = [*_SIZES, 2**63 - 1, -(2**63)]
_TEXTS = [
    "",
    "input",
    "logits",
    "w1",
    "prelude/x",
    "a" * 300,
    "\u202evil",
    "\x1b[31m",
    "../../x",
    "é",
    "{{7}}",
]
_TYPES = [*range(25), 99, -1]
_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})


def strange_model(seed: int) -> bytes:
    """Return the bytes of one model; the same for the same seed."""
    rng = random.Random(seed)
    model = _classifier(rng)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 5])):
        rng.choice(_CHANGES)(model, rng)
    content: bytes = model.SerializeToString()
    if rng.random() < 0.15:
        content = _damaged(content, rng)
    return content


def _classifier(rng: random.Random) -> onnx.ModelProto:
    draw = np.random.default_rng(rng.randrange(4))
    size, classes, channels = 8, 4, 3
    weights = {
        "w1": draw.standard_normal((4, channels, 3, 3)),
        "b1": draw.standard_normal(4),
        "w2": draw.standard_normal((4, classes)),
        "scale": np.abs(draw.standard_normal(4)) + 0.1,
    }
    make = helper.make_node
    first = [make("Conv", ["input", "w1", "b1"], ["c"], "stem/Conv", pads=[1] * 4)]
    middle = rng.choice(
        [
            [make("Relu", ["c"], ["r"], "stem/Relu")],
            [make("Sigmoid", ["c"], ["s"], "gate"), make("Mul", ["c", "s"], ["r"], "swish")],
            [make("BatchNormalization", ["c", "scale", "b1", "b1", "scale"], ["r"], "norm")],
            [make("Reshape", ["c", "to"], ["q"], "reshape"), make("Reshape", ["q", "back"], ["r"], "back")],
            [make("Clip", ["c", "low", "high"], ["r"], "clip")],
        ]
    )
    end = [
        make("GlobalAveragePool", ["r"], ["p"], "pool"),
        make("Flatten", ["p"], ["f"], "flatten"),
        make("MatMul", ["f", "w2"], ["logits"], "fc"),
    ]
    if rng.random() < 0.3:
        end[-1].output[0] = "z"
        end.append(make("Softmax", ["z"], ["logits"], "softmax", axis=1))
    stored = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in weights.items()]
    stored += [
        numpy_helper.from_array(np.array([0, 2, 2, -1], np.int64), "to"),
        numpy_helper.from_array(np.array([0, 4, size, size], np.int64), "back"),
        numpy_helper.from_array(np.float32(0), "low"),
        numpy_helper.from_array(np.float32(6), "high"),
    ]
    batch = rng.choice(["n", 1, 2])
    graph = helper.make_graph(
        [*first, *middle, *end],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, channels, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [batch, classes])],
        stored,
    )
    opset = rng.choice([20, 20, 20, 13, 11, 21, 22])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


Change = Callable[[onnx.ModelProto, random.Random], None]


def _node(model: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    if not model.graph.node:
        model.graph.node.add(op_type="Identity", input=["input"], output=["logits"])
    return rng.choice(model.graph.node)


def _stored(model: onnx.ModelProto, rng: random.Random) -> TensorProto:
    if not model.graph.initializer:
        model.graph.initializer.add(name="w1", data_type=1, dims=[1], float_data=[1])
    return rng.choice(model.graph.initializer)


def _names(model: onnx.ModelProto) -> list[str]:
    return [name for node in model.graph.node for name in (*node.input, *node.output)] + ["input", "nothing"]


def _size(model: onnx.ModelProto, rng: random.Random) -> None:
    values = rng.choice([model.graph.input, model.graph.output])
    if values and (dims := rng.choice(values).type.tensor_type.shape.dim):
        if rng.random() < 0.3:
            rng.choice(dims).dim_param = rng.choice(_TEXTS)
        else:
            rng.choice(dims).dim_value = rng.choice(_NUMBERS)


def _rank(model: onnx.ModelProto, rng: random.Random) -> None:
    values = rng.choice([model.graph.input, model.graph.output])
    if values:
        shape = rng.choice(values).type.tensor_type.shape
        if rng.random() < 0.5 or not shape.dim:
            shape.dim.add(dim_value=rng.choice([1, 2, 8]))
        else:
            del shape.dim[rng.randrange(len(shape.dim))]


def _port_type(model: onnx.ModelProto, rng: random.Random) -> None:
    values = rng.choice([model.graph.input, model.graph.output])
    if values:
        value = rng.choice(values)
        if rng.random() < 0.2:
            value.ClearField("type")
        else:
            value.type.tensor_type.elem_type = rng.choice(_TYPES)


def _more_ports(model: onnx.ModelProto, rng: random.Random) -> None:
    values = rng.choice([model.graph.input, model.graph.output])
    if values and rng.random() < 0.5:
        del values[rng.randrange(len(values))]
    else:
        name = rng.choice(_names(model))
        values.append(
            helper.make_tensor_value_info(name, rng.choice([1, 7]), rng.choice([None, [1], ["n", 4]]))
        )


def _dims(model: onnx.ModelProto, rng: random.Random) -> None:
    dims = _stored(model, rng).dims
    if dims and rng.random() < 0.7:
        dims[rng.randrange(len(dims))] = rng.choice(_NUMBERS)
    else:
        dims.append(rng.choice([0, 1, 2, 2**40]))


def _reshaped(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _stored(model, rng)
    count = max(int(np.prod([max(d, 0) for d in tensor.dims] or [1], dtype=float)), 1)
    if count < 1 << 20:
        shape = rng.choice([[count], [1, count], [count, 1], [1, 1, 1, count], []])
        tensor.CopyFrom(numpy_helper.from_array(np.ones(shape, np.float32), tensor.name))


def _stored_type(model: onnx.ModelProto, rng: random.Random) -> None:
    _stored(model, rng).data_type = rng.choice(_TYPES)


def _values(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _stored(model, rng)
    shape = [max(size, 0) for size in tensor.dims]
    if np.prod(shape or [1], dtype=float) < 1 << 20 and tensor.data_type in (1, 7):
        floats, integers = [0.0, 1.0, -1.0, np.nan, np.inf, 1e38, -1e38, 1e-45], [0, 1, -1, 2**62, -(2**62)]
        values = (
            np.full(shape, rng.choice(floats), np.float32)
            if tensor.data_type == 1
            else np.full(shape, rng.choice(integers), np.int64)
        )
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _external(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = _stored(model, rng)
    tensor.data_location = TensorProto.EXTERNAL
    where = rng.choice(["", "net.onnx", "../x", "/etc/passwd", "a\0b", "x" * 5000, ".", "\ud7ff", "none.bin"])
    tensor.external_data.add(key="location", value=where)
    if rng.random() < 0.5:
        for key in ("offset", "length"):
            tensor.external_data.add(key=key, value=rng.choice(["0", "-1", "x", "9" * 30, "4"]))


def _edge(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    names = rng.choice([node.input, node.output])
    if names:
        names[rng.randrange(len(names))] = rng.choice([*_names(model), *_TEXTS])


def _edges(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    names = rng.choice([node.input, node.output])
    if names and rng.random() < 0.5:
        del names[rng.randrange(len(names))]
    else:
        names.append(rng.choice([*_names(model), ""]))


def _operator(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    node.op_type = rng.choice([*_OPERATORS, "", "Nothing", "QLinearGlobalAveragePool", "FusedConv"])
    if rng.random() < 0.2:
        node.domain = rng.choice(["com.microsoft", "my.domain", "ai.onnx.ml", "ai.onnx"])
    if rng.random() < 0.5:
        del node.attribute[:]


def _inserted(model: onnx.ModelProto, rng: random.Random) -> None:
    """An operator between a node and what it reads, with as many inputs as it asks for."""
    node = _node(model, rng)
    if not node.input:
        return
    schema = onnx.defs.get_schema(rng.choice(_OPERATORS))
    read = [node.input[0], *rng.choices(_names(model), k=max(schema.min_input - 1, 0) % 6)]
    made = f"inserted{rng.randrange(1000)}"
    extra = [f"{made}_{i}" for i in range((max(schema.min_output, 1) - 1) % 6)]
    place = list(model.graph.node).index(node)
    new = onnx.NodeProto(op_type=schema.name, name=made, input=read, output=[made, *extra])
    for name, attribute in schema.attributes.items():
        if attribute.required and name:
            new.attribute.append(_attribute(name, rng))
    node.input[0] = made
    nodes = [*model.graph.node[:place], new, *model.graph.node[place:]]
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _attribute(name: str, rng: random.Random) -> onnx.AttributeProto:
    values: list[Any] = [
        rng.choice(_NUMBERS),
        rng.choice([0.0, -1.0, 1e38]),
        rng.choice(_TEXTS),
        [rng.choice(_NUMBERS) for _ in range(rng.randrange(1, 6))],
        [1.0, float(rng.choice(_SIZES))],
        numpy_helper.from_array(np.zeros(rng.choice([(), (1,), (2, 2)]), np.float32), "t"),
        _small_graph(rng),
    ]
    return helper.make_attribute(name, rng.choice(values))


def _small_graph(rng: random.Random) -> onnx.GraphProto:
    ports = [("i", TensorProto.INT64, []), ("c", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, None)]
    given = [helper.make_tensor_value_info(*port) for port in ports[: rng.choice([0, 1, 3])]]
    nodes = [helper.make_node("Identity", ["c"], ["co"]), helper.make_node("Relu", ["x"], ["xo"])]
    results = [helper.make_tensor_value_info("co", 9, []), helper.make_tensor_value_info("xo", 1, None)]
    return helper.make_graph(nodes, rng.choice(_TEXTS), given, results[: rng.choice([1, 2])])


def _attributes(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    names = [a.name for a in node.attribute] or ["axis"]
    if node.op_type in _OPERATORS and rng.random() < 0.6:
        names = [*onnx.defs.get_schema(node.op_type).attributes] or names
    name = rng.choice(names)
    kept = [a for a in node.attribute if a.name != name or rng.random() < 0.1]
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend(copies)
    node.attribute.append(_attribute(name, rng))


def _loop(model: onnx.ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    for name, values in (("trips", np.int64(rng.choice([0, 1, 3, -1]))), ("go", np.array(True))):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    kind = rng.choice(["Loop", "If", "Scan"])
    node.op_type = kind
    read = {"Loop": ["trips", "go", "input"], "If": ["go"], "Scan": ["input"]}[kind]
    del node.input[:], node.attribute[:]
    node.input.extend(read)
    for name in {"Loop": ["body"], "If": ["then_branch", "else_branch"], "Scan": ["body"]}[kind]:
        node.attribute.append(helper.make_attribute(name, _small_graph(rng)))
    if kind == "Scan":
        node.attribute.append(helper.make_attribute("num_scan_inputs", rng.choice([0, 1, 2, -1])))


def _functions(model: onnx.ModelProto, rng: random.Random) -> None:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    for i in range(rng.choice([1, 3, 25])):
        called = rng.choice([f"f{i - 1}", f"f{i}", "f0", "none"]) if rng.random() < 0.5 else "Relu"
        domain = "" if called == "Relu" else "f"
        nodes = [
            helper.make_node(called, ["x"], ["a"], domain=domain),
            helper.make_node(called, ["a"], ["y"], domain=domain),
        ]
        model.functions.append(helper.make_function("f", f"f{i}", ["x"], ["y"], nodes, opsets))
    node = _node(model, rng)
    node.op_type, node.domain = f"f{len(model.functions) - 1}", "f"
    model.opset_import.append(helper.make_opsetid("f", 1))


def _opset(model: onnx.ModelProto, rng: random.Random) -> None:
    choice = rng.random()
    if choice < 0.4 and model.opset_import:
        rng.choice(model.opset_import).version = rng.choice([*_SIZES, 1, 6, 7, 9, 23, 24, 25, 99])
    elif choice < 0.6:
        model.opset_import.append(helper.make_opsetid(rng.choice(["", "ai.onnx", "my.domain"]), 12))
    elif choice < 0.7:
        del model.opset_import[:]
    else:
        model.ir_version = rng.choice([*_NUMBERS, 3, 4, 12])


def _order(model: onnx.ModelProto, rng: random.Random) -> None:
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    rng.shuffle(copies)
    if rng.random() < 0.5:
        copies = copies[: rng.randrange(len(copies) + 1)] or copies
    elif copies:
        copies.append(rng.choice(copies))
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _rename(model: onnx.ModelProto, rng: random.Random) -> None:
    items = [*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output]
    rng.choice(items).name = rng.choice([*_TEXTS, *_names(model)])


def _deep(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = _small_graph(rng)
    for _ in range(rng.choice([2, 10, 25])):
        outer = _small_graph(rng)
        outer.node[0].attribute.append(helper.make_attribute("then_branch", graph))
        graph = outer
    _node(model, rng).attribute.append(helper.make_attribute("body", graph))


def _sparse(model: onnx.ModelProto, rng: random.Random) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), rng.choice(["w1", "s", ""])))
    sparse.dims.append(rng.choice(_NUMBERS))


def _quantized(model: onnx.ModelProto, rng: random.Random) -> None:
    """Levels in front of a node: as a quantized network has them, or nearly."""
    node = _node(model, rng)
    if not node.input:
        return
    kind = rng.choice([np.uint8, np.int8, np.int32, np.float32])
    scale = rng.choice([0.0, 0.1, -1.0, np.nan, np.inf])
    model.graph.initializer.append(numpy_helper.from_array(np.float32(scale), "qs"))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(3, kind), "qz"))
    given = node.input[0]
    node.input[0] = "deq"
    copies = [onnx.NodeProto.FromString(n.SerializeToString()) for n in model.graph.node]
    place = next((i for i, n in enumerate(copies) if "deq" in n.input), 0)
    pair = [
        helper.make_node("QuantizeLinear", [given, "qs", "qz"], ["lev"], "q"),
        helper.make_node("DequantizeLinear", ["lev", "qs", "qz"], ["deq"], "dq"),
    ]
    del model.graph.node[:]
    model.graph.node.extend([*copies[:place], *pair, *copies[place:]])


def _damaged(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(data))
        kind = rng.randrange(3)
        if kind == 0:
            data[place] = rng.randrange(256)
        elif kind == 1:
            del data[place : place + rng.randrange(1, 20)]
        else:
            data[place:place] = rng.randbytes(rng.randrange(1, 8))
        data = data or bytearray(b"x")
    return bytes(data)


_CHANGES: list[Change] = [
    _size, _rank, _port_type, _more_ports, _dims, _reshaped, _stored_type, _values, _external, _edge, _edges,
    _operator, _inserted, _inserted, _attributes, _attributes, _loop, _functions, _opset, _order, _rename,
    _deep, _sparse, _quantized,
]  # fmt: skip
