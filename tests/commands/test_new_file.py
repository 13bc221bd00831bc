"""`zooc new net.onnx`: a description that compiles as it stands, and says what its reader must check."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.frontend.semantics.analyze import load_deployment
from zooc.frontend.syntax.formatter import format_source
from zooc.networks.load import load_network
from zooc.support.cache import Cache

CLASSES = 5


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def write_net(
    path: str = "net.onnx",
    *,
    shape: tuple[int | str, ...] = ("batch", 3, 20, 20),
    last: bool = False,
    dtype: int = TensorProto.FLOAT,
    first: tuple[tuple[str, float], ...] = (),
    activation: str | None = None,
    more_outputs: tuple[str, ...] = (),
    classes: int = CLASSES,
) -> None:
    """One convolution, a pooling and a matrix; `first` are operators with a constant in front of it."""
    rng = np.random.default_rng(0)
    channels = shape[3] if last else shape[1]
    stored = {
        "w": rng.standard_normal((4, channels, 3, 3)),
        "m": rng.standard_normal((4, classes)),
        **{f"c{i}": np.float32(value) for i, (_, value) in enumerate(first)},
    }
    nodes, name = [], "image"

    def add(op: str, *inputs: str, **attributes: Any) -> None:
        nonlocal name
        nodes.append(helper.make_node(op, [name, *inputs], [f"t{len(nodes)}"], **attributes))
        name = f"t{len(nodes) - 1}"

    if dtype != TensorProto.FLOAT:
        add("Cast", to=TensorProto.FLOAT)
    for i, (op, _) in enumerate(first):
        add(op, f"c{i}")
    if last:
        add("Transpose", perm=[0, 3, 1, 2])
    add("Conv", "w")
    add("GlobalAveragePool")
    add("Flatten")
    features = name
    add("MatMul", "m")
    if activation:
        add(activation)
    ends = {"scores": (name, [shape[0], classes])}
    ends |= {other: (features, [shape[0], 4]) for other in more_outputs}
    for end, (inner, _) in ends.items():
        nodes.append(helper.make_node("Identity", [inner], [end]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("image", dtype, list(shape))],
        [helper.make_tensor_value_info(end, TensorProto.FLOAT, size) for end, (_, size) in ends.items()],
        [numpy_helper.from_array(np.asarray(v, np.float32), k) for k, v in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, path)


def described(*arguments: str, file: str = "net.zoo") -> str:
    done = run("new", *(arguments or ("net.onnx",)))
    assert done.exit_code == 0, done.output
    text = Path(file).read_text("utf-8")
    assert format_source(text, file) == text
    return text


def compiled(file: str = "net.zoo") -> None:
    done = run("compile", file, "-o", "build", "--force")
    assert done.exit_code == 0, done.output
    assert "warning" not in done.output


def words(text: str) -> list[str]:
    """The statements without comments, blanks made one."""
    return [" ".join(line.partition("#")[0].split()) for line in text.splitlines()]


@pytest.mark.parametrize(
    "source", ["net.onnx", "./net.onnx", 'onnx("net.onnx")', "onnx('net.onnx')", "onnx(net.onnx)"]
)
def test_every_way_to_name_the_file_gives_the_same_description(source: str) -> None:
    write_net()
    text = described(source)
    said = set(words(text))
    assert {'source onnx("net.onnx")', "input [batch, 3, 20, 20]", "layout nchw"} <= said
    assert {f"classes {CLASSES}", "postprocess { softmax topk 5 }"} <= said
    assert {"Resize(23)", "CenterCrop(20)", "ToTensor()"} <= said
    assert "TODO" in text
    assert "imagenet1k" not in text


def test_it_compiles_without_an_edit() -> None:
    write_net()
    described()
    compiled()


def test_it_compiles_to_int8_with_images(working_folder: Path) -> None:
    from PIL import Image

    (working_folder / "photos").mkdir()
    for number in range(50):  # each of a colour of its own: the network says different things of them
        random = np.random.default_rng(number)
        colour, grain = random.integers(0, 200, 3), random.integers(0, 56, (30, 40, 3))
        Image.fromarray((colour + grain).astype(np.uint8)).save(working_folder / "photos" / f"{number}.png")
    write_net()
    assert "quantize int8 {" in words(described("net.onnx", "--data", "photos"))
    compiled()


def test_the_network_is_in_the_cache_when_it_is_compiled(working_folder: Path) -> None:
    write_net()
    described()
    deployment, _ = load_deployment(Path("net.zoo"))
    assert deployment is not None
    steps: list[str] = []
    load_network(deployment.model, Cache(working_folder / "cache"), on_progress=steps.append)
    assert steps == ["network found in the cache"]


def test_channels_last_and_the_range_of_pixels_are_told() -> None:
    write_net(shape=("batch", 20, 24, 3), last=True, dtype=TensorProto.UINT8)
    text = described()
    said = set(words(text))
    assert {"layout nhwc", "input [batch, 3, 20, 24]", "Resize([20, 24])", "PILToTensor()"} <= said
    assert "Normalize" not in text
    compiled()


@pytest.mark.parametrize(
    ("first", "conversion", "normalized"),
    [
        ((), "ToTensor()", True),
        ((("Div", 255.0),), "PILToTensor()", False),
        ((("Mul", 1 / 127.5), ("Sub", 1.0)), "PILToTensor()", False),
        ((("Sub", 103.5),), "PILToTensor()", False),
        ((("Sub", 0.485), ("Div", 0.225)), "ToTensor()", False),
        ((("Mul", 2.0), ("Sub", 1.0)), "ToTensor()", False),
    ],
)
def test_a_network_that_normalizes_itself_gets_no_normalization(
    first: tuple[tuple[str, float], ...], conversion: str, normalized: bool
) -> None:
    write_net(first=first)
    text = described()
    assert conversion in words(text)
    assert any(line.startswith("Normalize(") for line in words(text)) is normalized
    compiled()


def test_a_network_of_one_channel_is_given_gray_images() -> None:
    write_net(shape=("batch", 1, 28, 28))
    text = described()
    steps = words(text)
    assert steps.index("CenterCrop(28)") < steps.index("Grayscale()") < steps.index("ToTensor()")
    assert "Normalize(mean=0.5, std=0.5)" in steps


def test_a_network_of_other_channels_is_given_images_of_as_many() -> None:
    write_net(shape=("batch", 4, 20, 20))
    text = described()
    assert "uint8 [height, width, 4]" in text and "BGR()" not in text
    assert "Normalize(mean=0.5, std=0.5)" in words(text)
    compiled()


def test_one_of_several_outputs_is_chosen_and_the_others_are_named() -> None:
    write_net(more_outputs=("features",))
    text = described()
    assert 'output "scores"' in words(text)
    assert "features (float32" in text
    compiled()


def test_an_output_name_of_any_text_is_written_as_text() -> None:
    name = 'a"b\n}\\ \u2028'
    write_net(more_outputs=(name,))
    model = onnx.load("net.onnx")
    for node in model.graph.node:
        node.output[:] = ['s"\n}' if n == "scores" else n for n in node.output]
    model.graph.output[0].name = 's"\n}'
    onnx.save(model, "net.onnx")
    described()
    deployment, diagnostics = load_deployment(Path("net.zoo"))
    assert deployment is not None, diagnostics
    assert deployment.model.outputs[0].text in ('s"\n}', name)


@pytest.mark.parametrize(
    ("activation", "classes", "line"),
    [
        ("Softmax", 5, "postprocess { softmax topk 5 }"),
        ("Sigmoid", 5, "postprocess { sigmoid topk 5 }"),
        ("Sigmoid", 1, "postprocess { sigmoid }"),
        (None, 1, "postprocess { sigmoid }"),
        (None, 3, "postprocess { softmax topk 3 }"),
        (None, 1000, "postprocess { softmax topk 5 }"),
    ],
)
def test_the_activation_is_the_files_own(activation: str | None, classes: int, line: str) -> None:
    write_net(activation=activation, classes=classes)
    text = described()
    assert line in words(text)
    assert ("TODO: `labels imagenet1k`" in text) is (classes == 1000)
    compiled()


def test_a_free_size_is_tried_and_marked() -> None:
    write_net(shape=("batch", 3, "height", "width"))
    text = described()
    assert "input [batch, 3, 224, 224]" in words(text)
    assert "TODO: the file does not fix the image's size" in text
    compiled()


def test_a_size_that_nothing_fits_is_told() -> None:
    write_net(shape=("batch", 3, "height", "width"))
    model = onnx.load("net.onnx")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, 3, 500, 500), np.float32), "w"))
    onnx.save(model, "net.onnx")
    done = run("new", "net.onnx")
    assert done.exit_code == 1
    assert "Z0815" in done.stderr
    assert not Path("net.zoo").exists()


def test_a_fixed_batch_is_freed_in_the_description() -> None:
    write_net(shape=(1, 3, 20, 20))
    assert "input [batch, 3, 20, 20]" in words(described())
    compiled()


def test_paths_start_at_the_description(working_folder: Path) -> None:
    Path("models").mkdir()
    write_net("models/net.onnx")
    described("models/net.onnx", "-o", "deep/er/net.zoo", file="deep/er/net.zoo")
    deployment, _ = load_deployment(Path("deep/er/net.zoo"))
    assert deployment is not None
    assert Path(deployment.model.source.name) == working_folder / "models" / "net.onnx"
    assert '"../../models/net.onnx"' in Path("deep/er/net.zoo").read_text("utf-8")


def test_names_that_are_no_identifiers_become_a_package() -> None:
    write_net('9 "net-a".onnx')
    described('9 "net-a".onnx', file='9 "net-a".zoo')
    compiled('9 "net-a".zoo')


def test_an_existing_description_is_replaced_by_force_only() -> None:
    write_net()
    Path("net.zoo").write_text("mine")
    done = run("new", "net.onnx")
    assert (done.exit_code, "Z0226" in done.stderr) == (1, True)
    assert Path("net.zoo").read_text() == "mine"
    described("net.onnx", "--force")


def test_wrong_classes_are_refused_at_their_option() -> None:
    write_net()
    done = run("new", "net.onnx", "--classes", "7")
    assert done.exit_code == 1
    assert "Z0221" in done.stderr
    assert "--classes" in done.stderr
    assert "classes 5" in " ".join(words(described("net.onnx", "--classes", "5")))


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "Z0210"), (b"<html>", "Z0210"), (b"no model", "Z0210"), (b"PK\x03\x04", "Z0210")],
)
def test_a_file_that_is_no_network_is_refused(content: bytes, code: str) -> None:
    Path("net.onnx").write_bytes(content)
    done = run("new", "net.onnx")
    assert done.exit_code == 1
    assert code in done.stderr
    assert not Path("net.zoo").exists()


def test_weights_are_refused_beside_a_file() -> None:
    write_net()
    done = run("new", "net.onnx", "--weights", "random")
    assert (done.exit_code, "Z0816" in done.stderr) == (1, True)


def test_a_misspelt_file_names_the_one_that_is_there() -> None:
    write_net()
    assert "`net.onnx`" in run("new", "nett.onnx").stderr


def test_a_file_of_two_images_is_refused() -> None:
    write_net()
    model = onnx.load("net.onnx")
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1, 3, 20, 20]))
    model.graph.node.append(helper.make_node("Identity", ["other"], ["end"]))
    model.graph.output.append(helper.make_tensor_value_info("end", TensorProto.FLOAT, [1, 3, 20, 20]))
    onnx.save(model, "net.onnx")
    assert "Z0212" in run("new", "net.onnx").stderr
