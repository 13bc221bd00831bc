"""Files made to do harm: bounded time and memory, and one short message that says what is wrong."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

OPEN = 'model { source onnx("net.onnx") }'
"""A `model` block that takes whatever the file holds."""

SECONDS = 10.0
"""Of processor time: what these files once took was minutes. It is less than two on a machine of today."""

Change = Callable[[onnx.ModelProto], bytes | None]


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """None of these takes long, and this process never more than a gigabyte."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    yield
    assert time.process_time() - start < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # KiB


def _call(model: onnx.ModelProto, functions: list[onnx.FunctionProto], name: str) -> None:
    model.graph.node[0].op_type, model.graph.node[0].domain = name, "f"
    model.functions.extend(functions)
    model.opset_import.append(helper.make_opsetid("f", 1))


def _function(name: str, *called: str) -> onnx.FunctionProto:
    """One that calls others of the domain `f` in turn."""
    names = ["x", *(f"t{i}" for i in range(len(called) - 1)), "y"]
    nodes = [
        helper.make_node(other, [read], [made], domain="f" if other.startswith("f") else "")
        for other, read, made in zip(called, names, names[1:], strict=False)
    ]
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, ["x"], ["y"], nodes, opsets)


def doubling(model: onnx.ModelProto) -> None:
    chain = [_function("f0", "Relu"), *(_function(f"f{i}", f"f{i - 1}", f"f{i - 1}") for i in range(1, 31))]
    _call(model, chain, "f30")


def long_chain(model: onnx.ModelProto) -> None:
    chain = [_function("f0", "Relu"), *(_function(f"f{i}", f"f{i - 1}") for i in range(1, 400))]
    _call(model, chain, "f399")


def recursive(model: onnx.ModelProto) -> None:
    _call(model, [_function("f1", "f2"), _function("f2", "f1")], "f1")


def endless(model: onnx.ModelProto) -> None:
    values = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, None),
    ]
    results = [
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None),
    ]
    nodes = [helper.make_node("Identity", ["c"], ["go"]), helper.make_node("Identity", ["x"], ["y"])]
    body = helper.make_graph(nodes, "body", values, results)
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    loop = helper.make_node("Loop", ["", "true", "input"], ["total"], "loop", body=body)
    model.graph.node[0].CopyFrom(loop)


def _sized(batch: int | None, side: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        sizes = model.graph.input[0].type.tensor_type.shape.dim
        sizes[2].dim_value = sizes[3].dim_value = side
        if batch is not None:
            sizes[0].dim_value = batch

    return change


def strings(model: onnx.ModelProto) -> None:
    text = TensorProto(name="w1", data_type=TensorProto.STRING, dims=[8, 3, 3, 3], string_data=[b"a"] * 216)
    model.graph.initializer[0].CopyFrom(text)


def short_weight(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = 80


def _bytes(old: bytes, new: bytes) -> Change:
    assert len(old) == len(new)
    return lambda model: model.SerializeToString().replace(old, new)


def long_location(model: onnx.ModelProto) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="x" * 5000)


def foreign(model: onnx.ModelProto) -> None:
    model.graph.node[2].domain = "my.domain"


def deep(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([helper.make_node("Relu", ["c"], ["d"])], "inner", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["c"], ["d"], then_branch=inner)
        inner = helper.make_graph([node], "outer", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner))


NETWORKS = [
    (
        doubling,
        "Z0513",
        ("has 1,073,741,829 nodes; the limit is 200,000", "ZOOC_LIMITS=nodes=NUMBER"),
    ),
    (long_chain, "Z0513", ("functions that call each other in a chain; the limit is 100",)),
    (recursive, "Z0518", ("the function 'f1' calls itself",)),
    (_sized(None, 2**63 - 1), "Z0513", ("the input 'input' of net.onnx has", "the limit is 2,147,483,648")),
    (_sized(None, 100_000), "Z0513", ("has 30,000,000,000 elements",)),
    (_sized(2**31, 32), "Z0513", ("has 6,597,069,766,656 elements", "ZOOC_LIMITS=elements=NUMBER")),
    (strings, "Z0518", ("the stored tensor 'w1' holds text where numbers belong",)),
    (short_weight, "Z0518", ("the stored tensor 'w1' has 216 values for a shape of 2,160",)),
    (
        _bytes(b"stem/Conv", b"stem\xff\xfeonv"),
        "Z0518",
        ("a node of the graph has a name that is not",),
    ),
    (_bytes(b"GlobalAveragePool", b"GlobalAverage\xffool"), "Z0518", (r"b'GlobalAverage\xffool'",)),
    (_bytes(b"total", b"tot\xffl"), "Z0518", ("not UTF-8",)),
    (long_location, "Z0211", ("stores weights in xxx", "(5,000 characters)", "not in the same folder")),
    (deep, "Z0513", ("graphs in each other; the limit is 16",)),
]


@pytest.mark.parametrize(("change", "code", "fragments"), NETWORKS)
def test_a_hostile_network_is_told_as_what_it_is(
    project: Any, make_network: Callable[..., Any], change: Change, code: str, fragments: tuple[str, ...]
) -> None:
    model = make_network()
    content = change(model) or model.SerializeToString()
    (project.folder / "net.onnx").write_bytes(content)
    project.zooc("inspect", "net.onnx").refused(code, *fragments)
    project.compile(model=OPEN).refused(code, "tiny.zoo:1:9", *fragments)
    assert project.wrote_nothing()


def test_a_loop_that_never_ends_is_stopped(project: Any, make_network: Callable[..., Any]) -> None:
    model = make_network()
    endless(model)
    onnx.save(model, project.folder / "net.onnx")
    start = time.monotonic()
    fragments = ("within 1 seconds", "ZOOC_LIMITS=seconds=NUMBER")
    project.write(model=OPEN)
    project.zooc("compile", "tiny.zoo", "-o", "out", env={"ZOOC_LIMITS": "seconds=1"}).refused(
        "Z0514", *fragments
    )
    assert time.monotonic() - start < 60
    assert project.wrote_nothing()


def test_memory_is_bounded_where_the_graph_computes_its_sizes(
    project: Any, make_network: Callable[..., Any]
) -> None:
    model = make_network()
    model.graph.initializer.append(numpy_helper.from_array(np.array([1 << 30]), "many"))
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["many"], ["large"], "fill"))
    model.graph.node.insert(1, helper.make_node("ReduceSum", ["large"], ["zero"], "sum", keepdims=0))
    model.graph.node.append(helper.make_node("Add", ["logits", "zero"], ["scores"], "add"))
    model.graph.output[0].name = "scores"
    onnx.save(model, project.folder / "net.onnx")
    project.write(model=OPEN)
    outcome = project.zooc("compile", "tiny.zoo", "-o", "out", env={"ZOOC_LIMITS": "memory=1024"})
    outcome.refused("Z0515", "net.onnx takes more than 1,024 MiB", "ZOOC_LIMITS=memory=NUMBER")


def test_a_foreign_domain_is_shown_and_not_compiled(project: Any, make_network: Callable[..., Any]) -> None:
    model = make_network()
    foreign(model)
    onnx.save(model, project.folder / "net.onnx")
    assert "my.domain.Relu" in project.zooc("inspect", "net.onnx").succeeded().out
    project.compile(model=OPEN).refused("Z0217", "my.domain.Relu")


@pytest.mark.parametrize(
    ("value", "fragments"),
    [
        ("second=600", ("there is no limit `second`", "did you mean `seconds`?")),
        ("seconds=soon", ("`seconds=soon` gives no whole number", "write seconds=NUMBER")),
        ("memory=0", ("`memory=0`",)),
        ("nodes", ("`nodes` gives no whole number",)),
        ("nodes=-5", ("`nodes=-5`",)),
    ],
)
def test_mistyped_limits_are_told(project: Any, value: str, fragments: tuple[str, ...]) -> None:
    project.zooc("inspect", "net.onnx", env={"ZOOC_LIMITS": value}).refused("Z0516", *fragments)


def test_limits_are_raised_by_their_names(project: Any) -> None:
    project.zooc("inspect", "net.onnx", env={"ZOOC_LIMITS": "nodes=3"}).refused("Z0513", "the limit is 3")
    project.zooc("inspect", "net.onnx", env={"ZOOC_LIMITS": " nodes = 9 , text=300,"}).succeeded()


TEXTS = {
    "brackets": "let a = " + "[" * 20_000,
    "one line": "let a = 1 " * 4000,
    "stray": ";:" * 20_000,
    "escapes": 'let a = "' + "\\q" * 20_000 + '"',
    "name": "let " + "a" * 40_000 + " = b",
    "path": "let a = a" + ".a" * 20_000,
    "list": "let a = [" + "1," * 20_000 + "]",
}


@pytest.mark.parametrize("name", TEXTS)
def test_long_texts_are_checked_quickly_and_quoted_shortly(project: Any, name: str) -> None:
    path = project.write(TEXTS[name])
    outcome = project.zooc("check", path)
    assert outcome.code == 1
    assert "Z0900" not in outcome.err
    longest = max(len(line) for line in outcome.err.splitlines())
    assert longest < 2000
    assert outcome.err.count("error[") + outcome.err.count("warning[") <= 100


def test_a_long_override_is_quoted_shortly(project: Any) -> None:
    outcome = project.zooc("check", "tiny.zoo", "--set", "x" * 30_000)
    outcome.refused("Z0117", "characters) ...xxx")
    assert len(outcome.err) < 3000


def test_hidden_characters_are_spelled_out_everywhere(project: Any) -> None:
    project.write(model='model { source timm.x  weights "a\u202eb\x1b[31mc.pth" }', preprocess="")
    text = project.zooc("check", "tiny.zoo").err
    found = project.zooc("check", "tiny.zoo", "--format", "json")
    assert "a<U+202E>b<U+001B>[31mc.pth" in text
    messages = str([(d["message"], d["hint"], d["notes"]) for d in found.json["diagnostics"]])
    assert "a<U+202E>b<U+001B>[31mc.pth" in messages
    assert "\u202e" not in text + found.out


YAML = """name: "a\\ud800b"
frontend: {type: onnx, checkpoint: x.onnx, shape: {input: [1, 3, 224, 224]}, dtype: fp32}
backend: {type: tvm_vacc, dtype: fp16}
"""


@pytest.mark.parametrize("options", [(), ("--format", "json")])
def test_half_a_surrogate_pair_is_refused(project: Any, options: tuple[str, ...]) -> None:
    path = project.write(YAML, "net.yaml")
    outcome = project.zooc("import", path, "-o", "new.zoo", *options)
    assert outcome.code == 1
    assert "`a<U+D800>b` holds half of a surrogate pair" in outcome.err + outcome.out


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("a: " + "{b: " * 20_000, "nested more than 30 deep"),
        ("".join(f"{' ' * i}a:\n" for i in range(400)), "nested more than 30 deep"),
        ("a: [" + "1," * 40_000 + "]", "more than 10,000 values"),
    ],
)
def test_deep_and_long_yaml_is_refused(project: Any, text: str, fragment: str) -> None:
    path = project.write(text, "net.yaml")
    project.zooc("import", path, "-o", "new.zoo").refused("Z0801", fragment)


def test_no_more_findings_than_are_read(project: Any) -> None:
    path = project.write("".join(f"k{i}: 1\n" for i in range(1500)), "net.yaml")
    outcome = project.zooc("import", path, "-o", "new.zoo", "--format", "json")
    assert len(outcome.json["diagnostics"]) == 100


def test_what_the_engine_refuses_while_it_runs_names_the_node(project: Any) -> None:
    (project.folder / "r.txt").write_text("r 1e6 0 1e6\np 1e-3 0 1e-3\n", "utf-8")
    outcome = project.compile("--ranges", "r.txt")
    outcome.refused(
        "Z0519", "refuses the network in QLinearGlobalAveragePool pool", "check_result", "keep that layer out"
    )
    assert project.wrote_nothing()


def test_a_description_of_the_largest_size_reaches_the_process_that_reads_its_network(project: Any) -> None:
    comment = f"# {'x' * 9000}\n" * 100
    project.compile(model=f"{comment}{OPEN}", quantize="quantize fp32").succeeded()
