"""`zooc export-triton`: the repository against Triton's schema, and its graphs against the package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.compilation import Request
from zooc.package.contents import PackageContents
from zooc.package.exports.pbtxt import Enum, pbtxt
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import open_package

why = "tritonclient[grpc] is not installed"
schema = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason=why)
text_format = pytest.importorskip("google.protobuf.text_format", reason=why)

SIDE = 16
NUMPY = {"TYPE_UINT8": np.dtype(np.uint8), "TYPE_FP32": np.dtype(np.float32)}
ORT = {"tensor(uint8)": "TYPE_UINT8", "tensor(float)": "TYPE_FP32"}
HOSTILE = ('say "hi"', "it's \\n", "a\x00b\tc\x85d", "{{ owl }}", "naïve gull", "heron", "ibis")
Make = Callable[..., PackageContents]


def zooc(*arguments: str | Path, code: int = 0) -> str:
    """What a command says, after it ended with `code`."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.replace("│", " ").split())


def config_of(model: Path) -> Any:
    config = text_format.Parse((model / "config.pbtxt").read_text("ascii"), schema.ModelConfig())
    assert config.name == model.name
    return config


def session_of(model: Path) -> onnxruntime.InferenceSession:
    config = config_of(model)
    graph = onnx.load(model / "1" / "model.onnx")
    assert {entry.domain for entry in graph.opset_import} == {""}
    assert {node.domain for node in graph.graph.node} == {""}
    assert graph.opset_import[0].version <= 22 and graph.ir_version <= 10
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for described, actual in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [port.name for port in described] == [port.name for port in actual]
        for port, real in zip(described, actual, strict=True):
            assert schema.DataType.Name(port.data_type) == ORT[real.type]
            dims = [size if isinstance(size, int) else -1 for size in real.shape]
            # What onnxruntime_utils.cc checks: the first dimension of models that batch is free; outputs are
            # equal, inputs where the model's size is known.
            wanted = [-1, *port.dims] if config.max_batch_size else list(port.dims)
            assert not config.max_batch_size or dims[0] == -1
            assert dims == wanted
    assert all(group.kind == schema.ModelInstanceGroup.KIND_CPU for group in config.instance_group)
    return session


def fits(tensor: np.ndarray, port: Any, batched: bool) -> bool:
    shape = tensor.shape[1 if batched else 0 :]
    sizes = len(shape) == len(port.dims) and all(d in (-1, s) for d, s in zip(port.dims, shape, strict=True))
    return sizes and tensor.dtype == NUMPY[schema.DataType.Name(port.data_type)]


def answer(model: Path, given: np.ndarray) -> dict[str, np.ndarray]:
    """What Triton would answer: the graph itself, or the steps of an ensemble one after the other."""
    config = config_of(model)
    (source,) = config.input
    assert fits(given, source, config.max_batch_size > 0)
    tensors = {source.name: given}
    if config.platform != "ensemble":
        values = session_of(model).run([port.name for port in config.output], tensors)
        tensors |= {port.name: value for port, value in zip(config.output, values, strict=True)}
    for step in config.ensemble_scheduling.step:
        inner = model.parent / step.model_name
        names = {port.name for port in config_of(inner).input}
        assert set(step.input_map) == names
        (given_name,) = step.input_map.values()
        found = answer(inner, tensors[given_name])
        tensors |= {outer: found[own] for own, outer in step.output_map.items()}
    for port in config.output:
        assert fits(tensors[port.name], port, config.max_batch_size > 0)
    return {port.name: tensors[port.name] for port in config.output}


def warm_up(model: Path) -> int:
    """Run what `model_warmup` describes; the number of requests."""
    config = config_of(model)
    for request in config.model_warmup:
        ((name, data),) = request.inputs.items()
        assert data.zero_data and request.batch_size >= 1
        batch = [request.batch_size] if config.max_batch_size else []
        zeros = np.zeros([*batch, *data.dims], NUMPY[schema.DataType.Name(data.data_type)])
        assert name == config.input[0].name
        assert answer(model, zeros)
    return len(config.model_warmup)


@pytest.mark.parametrize("kind", [{}, {"softmax": False}, {"batch": 1}], ids=["softmax", "logits", "batch 1"])
def test_the_ensemble_answers_what_the_package_answers(
    kind: dict[str, Any], tinybird: Callable[..., Path]
) -> None:
    package = tinybird(**kind)
    zooc("export-triton", "build/tinybird", "-o", "models")
    with open_package(package, threads=1) as opened:
        for seed in range(3):
            image = np.random.default_rng(seed).integers(0, 256, (9 + seed, 14, 3), dtype=np.uint8)
            (scores,) = answer(Path("models/tinybird"), image).values()
            np.testing.assert_array_equal(scores, opened.scores([image]))
    network = config_of(Path("models/tinybird_network"))
    assert network.max_batch_size == (0 if kind.get("batch") else 8)
    assert network.HasField("dynamic_batching") == (not kind.get("batch"))
    assert warm_up(Path("models/tinybird_prelude")) == 1
    assert warm_up(Path("models/tinybird_network")) == (1 if kind.get("batch") else 2)


def test_the_network_takes_batches_of_pixels(tinybird: Callable[..., Path]) -> None:
    package = tinybird(softmax=False)
    zooc("export-triton", "build/tinybird", "-o", "models")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    (scores,) = answer(Path("models/tinybird_network"), pixels).values()
    with open_package(package, threads=1) as opened:
        np.testing.assert_array_equal(scores, opened.run_tensor(pixels))


@pytest.mark.parametrize("batch", [None, 3])
def test_a_package_of_tensors_is_one_model(batch: int | None, tinybird: Callable[..., Path]) -> None:
    package = tinybird(tensor=True, batch=batch, softmax=False)
    zooc("export-triton", "build/tinybird", "-o", "models", "--max-batch-size", "4")
    assert sorted(entry.name for entry in Path("models").iterdir()) == ["tinybird", "zooc.json"]
    tensor = np.random.default_rng(1).standard_normal((3, 3, 8, 8)).astype(np.float32)
    (scores,) = answer(Path("models/tinybird"), tensor).values()
    with open_package(package, threads=1) as opened:
        np.testing.assert_array_equal(scores, opened.run_tensor(tensor))
    assert warm_up(Path("models/tinybird")) == (2 if batch is None else 1)
    assert config_of(Path("models/tinybird")).max_batch_size == (4 if batch is None else 0)


def test_labels_are_one_a_line_in_triton_whatever_is_in_them(tinybird: Callable[..., Path]) -> None:
    tinybird(labels=HOSTILE)
    zooc("export-triton", "build/tinybird", "-o", "models")
    for model in ("tinybird", "tinybird_network"):
        (output,) = config_of(Path("models", model)).output
        # label_provider.cc reads lines, and the protocol's C strings end at NUL.
        lines = Path("models", model, output.label_filename).read_bytes().decode().split("\n")
        assert lines == ['say "hi"', "it's \\n", "a b c d", "{{ owl }}", "naïve gull", "heron", "ibis", ""]


def network_of_heads(path: Path) -> None:
    """A convolution, and a Gemm of 3 scores, one of 4, one of 1."""
    random = np.random.default_rng(0)
    weights = {"w": (8, 3, 3, 3), "years": (8, 3), "wearing": (8, 4), "side": (8, 1)}
    nodes = [
        helper.make_node("Conv", ["in", "w"], ["conv"], "conv"),
        helper.make_node("Relu", ["conv"], ["active"], "relu"),
        helper.make_node("GlobalAveragePool", ["active"], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["flat"], "flatten"),
    ]
    outputs = []
    for name in ("years", "wearing", "side"):
        nodes.append(helper.make_node("Gemm", ["flat", name], [f"{name}.out"], name))
        shape = ["n", weights[name][1]]
        outputs.append(helper.make_tensor_value_info(f"{name}.out", TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        nodes,
        "heads",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        outputs,
        [
            numpy_helper.from_array(random.standard_normal(s).astype(np.float32), n)
            for n, s in weights.items()
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)


def compiled(folder: Path, text: str) -> Path:
    (folder / "net.zoo").write_text(text, "utf-8")
    request = Request(folder / "net.zoo", output=folder / "net", force=True)
    return compile_package(request, Context(Cache(None), Progress())).folder / "net"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a network of several heads in it."""
    monkeypatch.chdir(tmp_path)
    network_of_heads(tmp_path / "net.onnx")
    return tmp_path


def test_every_head_is_an_output_with_its_own_labels(folder: Path) -> None:
    """That of `side` is one score with the names of both its sides."""
    (folder / "ages.txt").write_text("young\nold\nolder\n")
    (folder / "sides.txt").write_text("left\nright\n")
    package = compiled(
        folder,
        f"""model {{ source onnx("net.onnx") }}
preprocess {{ Resize([{SIDE}, {SIDE}])  ToTensor() }}
quantize fp32
heads {{
  age: output "years.out"  softmax  topk 2  labels "ages.txt"
  wearing: output "wearing.out"  sigmoid
  side: output "side.out"  sigmoid  labels "sides.txt"
}}
package {{ name net }}
""",
    )
    zooc("export-triton", "net", "-o", "models")
    image = np.random.default_rng(0).integers(0, 256, (40, 31, 3), dtype=np.uint8)
    answers = answer(Path("models/net"), image)
    with open_package(package, threads=1) as opened:
        result = opened([image])[0]
        np.testing.assert_array_equal(answers["probabilities"], opened.scores([image]))
    for name, head in result.heads.items():
        np.testing.assert_array_equal(answers[name][0], head.probabilities)
    for model in ("net", "net_network"):
        files = {port.name: port.label_filename for port in config_of(Path("models", model)).output}
        assert Path("models", model, files.pop("age")).read_text() == "young\nold\nolder\n"
        assert set(files.values()) == {""}


def test_int8_is_equal_to_the_bit(folder: Path) -> None:
    random = np.random.default_rng(5)
    (folder / "images").mkdir()
    for number in range(4):
        pixels = random.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    text = f"""model {{ source onnx("net.onnx") }}
preprocess {{ Resize({SIDE + 2})  CenterCrop({SIDE})  ToTensor() }}
quantize int8 {{ data images("images")  calibrate max }}
heads {{ age: output "years.out"  softmax  topk 1 }}
package {{ name net }}
"""
    package = compiled(folder, text)
    zooc("export-triton", "net", "-o", "models")
    image = random.integers(0, 256, (35, 60, 3), dtype=np.uint8)
    with open_package(package, threads=1) as opened:
        assert opened.info["quantization"]["dtype"] == "int8"
        wanted = opened.scores([image])
    np.testing.assert_array_equal(answer(Path("models/net"), image)["probabilities"], wanted)


def test_frames_keep_their_two_dimensions(folder: Path) -> None:
    text = f"""model {{ source onnx("net.onnx") }}
preprocess {{ NV12(bt601)  Resize([{SIDE}, {SIDE}])  ToTensor() }}
quantize fp32
heads {{ age: output "years.out"  topk 1 }}
package {{ name net }}
"""
    package = compiled(folder, text)
    zooc("export-triton", "net", "-o", "models")
    frame = np.random.default_rng(0).integers(0, 256, (60, 24), dtype=np.uint8)
    with open_package(package, threads=1) as opened:
        wanted = opened.scores([frame])
    np.testing.assert_array_equal(answer(Path("models/net"), frame)["logits"], wanted)
    assert list(config_of(Path("models/net")).input[0].dims) == [-1, -1]


@pytest.mark.parametrize("batch", [0, 4])
def test_openvino_takes_the_network_as_its_backend_would(batch: int, tinybird: Callable[..., Path]) -> None:
    """The steps of openvino.cc: a layout and a fixed batch where the model batches, exact output shapes."""
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    package = tinybird(softmax=False)
    options = ("--backend", "openvino", "--instances", "2", "--threads", "3")
    zooc("export-triton", "build/tinybird", "-o", "models", *options, "--max-batch-size", str(batch))
    config = config_of(Path("models/tinybird_network"))
    assert (config.backend, config.default_model_filename) == ("openvino", "model.onnx")
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    padding = {"ENABLE_BATCH_PADDING": "YES"} if batch else {}
    assert parameters == {"NUM_STREAMS": "2", "INFERENCE_NUM_THREADS": "6", **padding}
    assert config_of(Path("models/tinybird_prelude")).backend == "onnxruntime"
    core = openvino.Core()
    model = core.read_model("models/tinybird_network/1/model.onnx")
    if batch:
        builder = openvino.preprocess.PrePostProcessor(model)
        builder.input("pixels").tensor().set_layout(openvino.Layout("N..."))
        model = builder.build()
        openvino.set_batch(model, batch)
    shapes = [list(port.partial_shape) for port in model.outputs]
    for shape, port in zip(shapes, config.output, strict=True):
        dims = [batch, *port.dims] if batch else list(port.dims)
        assert [size.get_length() if size.is_static else -1 for size in shape] == dims
    pixels = np.random.default_rng(1).integers(0, 256, (4, 3, 8, 8), dtype=np.uint8)
    ran = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([pixels])[0]
    with open_package(package, threads=1) as opened:
        np.testing.assert_allclose(ran, opened.run_tensor(pixels), rtol=1e-4, atol=1e-5)


def test_options_are_in_the_configuration(tinybird: Callable[..., Path]) -> None:
    tinybird()
    batching = "--max-batch-size 16 --preferred-batch-size 16 --preferred-batch-size 8 --max-queue-delay 500"
    running = "--instances 3 --threads 2 --prelude-instances 5"
    zooc("export-triton", "build/tinybird", "-o", "models", *batching.split(), *running.split())
    config = config_of(Path("models/tinybird_network"))
    assert config.max_batch_size == 16
    assert list(config.dynamic_batching.preferred_batch_size) == [8, 16]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500
    assert config.instance_group[0].count == 3
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert config_of(Path("models/tinybird_prelude")).instance_group[0].count == 5


def test_several_packages_share_a_repository(tinybird: Callable[..., Path]) -> None:
    tinybird()
    tinybird(name="other", tensor=True)
    said = json.loads(zooc("export-triton", "build/tinybird", "build/other", "-o", "m", "--format", "json"))
    assert said["models"] == ["other", "tinybird", "tinybird_network", "tinybird_prelude"]
    assert said["bytes"] == sum(p.stat().st_size for p in Path("m").rglob("*") if p.is_file())
    assert "Z0824" in zooc("export-triton", "build/other", "build/other", "-o", "m2", code=1)
    tinybird(name="tinybird_network", tensor=True)
    said = zooc("export-triton", "build/tinybird", "build/tinybird_network", "-o", "m2", code=1)
    assert "Z0824" in said and "tinybird_network" in said
    assert not Path("m2").exists()


def test_a_repository_is_replaced_only_on_demand_and_nothing_else_ever(
    tinybird: Callable[..., Path],
) -> None:
    tinybird()
    zooc("export-triton", "build/tinybird", "-o", "models")
    before = {p: p.read_bytes() for p in Path("models").rglob("*") if p.is_file()}
    assert "--force" in zooc("export-triton", "build/tinybird", "-o", "models", code=1)
    zooc("export-triton", "build/tinybird", "-o", "models", "--force", "--quiet")
    assert before == {p: p.read_bytes() for p in Path("models").rglob("*") if p.is_file()}
    Path("models/mine").mkdir()
    said = zooc("export-triton", "build/tinybird", "-o", "models", "--force", code=1)
    assert "Z0602" in said and "mine" in said
    assert "Z0602" in zooc("export-triton", "build/tinybird", "-o", "build/tinybird", "--force", code=1)
    Path("models/zooc.json").write_text("[]")
    assert "Z0602" in zooc("export-triton", "build/tinybird", "-o", "models", "--force", code=1)


def test_a_network_of_whole_batches_is_refused(tinybird: Callable[..., Path]) -> None:
    tinybird(batch=4)
    said = zooc("export-triton", "build/tinybird", "-o", "models", code=1)
    assert "Z0823" in said and "exactly 4" in said and "[batch," in said
    assert not Path("models").exists()


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--backend", "openvno"], "openvno"),
        (["--max-batch-size", "-1"], "'--max-batch-size'"),
        (["--max-batch-size", "eight"], "'--max-batch-size'"),
        (["--preferred-batch-size", "9"], "more than --max-batch-size, 8"),
        (["--preferred-batch-size", "0"], "'--preferred-batch-size'"),
        (["--max-batch-size", "0", "--max-queue-delay", "5"], "no batches without --max-batch-size"),
        (["--backend", "openvino", "--preferred-batch-size", "2"], "no batches without --max-batch-size"),
        (["--instances", "0"], "'--instances'"),
        (["--threads", "many"], "'--threads'"),
    ],
)
def test_mistyped_options(arguments: list[str], told: str, tinybird: Callable[..., Path]) -> None:
    tinybird()
    assert told in zooc("export-triton", "build/tinybird", "-o", "models", *arguments, code=2)
    assert not Path("models").exists()


def test_a_mistyped_or_damaged_package_is_refused(tinybird: Callable[..., Path]) -> None:
    package = tinybird()
    assert "Z0222" in zooc("export-triton", "build/tinybrd", "-o", "models", code=1)
    (package / "model.onnx").write_bytes((package / "model.onnx").read_bytes()[:-1] + b"\0")
    said = zooc("export-triton", "build/tinybird", "-o", "models", code=1)
    assert "changed since it was compiled" in said


@pytest.mark.parametrize(
    "text", ['"', "\\", "a\nb", "\x00\x7f", "'", "ü\u2028", '" } output {', "{{ x }}", ""]
)
def test_texts_come_back_from_the_text_format(text: str) -> None:
    message = {"name": text, "output": [{"name": text, "dims": [1, -1], "data_type": Enum("TYPE_UINT8")}]}
    read = text_format.Parse(pbtxt(message), schema.ModelConfig())
    assert (read.name, read.output[0].name, list(read.output[0].dims)) == (text, text, [1, -1])
    assert len(read.output) == 1
