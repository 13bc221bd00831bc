"""Networks and weights that cannot be used are refused with the place, the reason and the remedy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

OPEN = 'model { source onnx("net.onnx") }'
"""A `model` block that takes whatever the file holds."""


@pytest.mark.parametrize(
    ("content", "fragments"),
    [
        (b"", ("net.onnx is empty", "copy or export the model again")),
        (b"hello, I am no network", ("net.onnx is not a readable ONNX model", "copy or export")),
        (
            b"\x89PNG\r\n\x1a\n" + bytes(500),
            ("net.onnx is not a readable ONNX model", "another kind of file"),
        ),
        (None, ("net.onnx is not a readable ONNX model", "it is truncated")),
    ],
)
def test_what_is_no_onnx_is_refused(project: Any, content: bytes | None, fragments: tuple[str, ...]) -> None:
    file: Path = project.folder / "net.onnx"
    file.write_bytes(file.read_bytes()[:700] if content is None else content)
    project.compile().refused("Z0210", "tiny.zoo:1:9", *fragments)
    assert project.wrote_nothing()


def test_a_missing_onnx_file_is_named(project: Any) -> None:
    project.compile(model='model { source onnx("nett.onnx") }').refused(
        "Z0119", 'the ONNX file "nett.onnx" does not exist', "did you mean `net.onnx`?"
    )
    assert project.wrote_nothing()


def test_a_folder_is_no_onnx_file(project: Any) -> None:
    project.compile(model='model { source onnx("images") }').refused("Z0119", '"images" is not a file')


def test_a_network_with_two_inputs_is_refused(project: Any, make_network: Callable[..., Any]) -> None:
    onnx.save(make_network(inputs=2), project.folder / "net.onnx")
    project.compile().refused(
        "Z0212", "net.onnx has 2 inputs", "input (float32 [n, 3, 32, 32]), input1", "export the model so"
    )
    assert project.wrote_nothing()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("quantize", ["quantize fp32", 'quantize int8 { data images("images") }'])
def test_weights_that_are_no_numbers_are_named(
    project: Any, make_network: Callable[..., Any], value: float, quantize: str
) -> None:
    onnx.save(make_network(spoil=value), project.folder / "net.onnx")
    project.compile(quantize=quantize).refused(
        "Z0414",
        'the weight "w1", used by stem/Conv, has 1 of 216 values that are NaN or infinite',
        "give other weights",
    )
    assert project.wrote_nothing()


@pytest.mark.parametrize(
    ("change", "blocks", "code", "fragments"),
    [
        ({"size": 40}, {}, "Z0215", ("`input` gives height 32, but net.onnx takes 40", "write 40 here")),
        ({"classes": 5}, {}, "Z0221", ("`classes` is 4, but net.onnx has 5", "write classes 5")),
        (
            {"size": 40},
            {"model": OPEN},
            "Z0302",
            ("preprocessing ends at 32 x 32 pixels, but the network takes 40 x 40", "let the last crop"),
        ),
        (
            {"classes": 5},
            {"model": OPEN},
            "Z0504",
            ("4 labels for 5 classes of the network", "use the labels"),
        ),
        (
            {"classes": 3},
            {"model": OPEN, "postprocess": "postprocess { topk 4 }"},
            "Z0505",
            ("topk is 4, but the network has 3 classes", "write at most 3"),
        ),
        (
            {"channels": 1},
            {"model": OPEN},
            "Z0308",
            ("three channels, but the network takes one channel", "add `Grayscale()`"),
        ),
    ],
)
def test_what_the_file_says_of_the_network_must_be_so(
    project: Any,
    make_network: Callable[..., Any],
    change: dict[str, Any],
    blocks: dict[str, str],
    code: str,
    fragments: tuple[str, ...],
) -> None:
    onnx.save(make_network(**change), project.folder / "net.onnx")
    project.compile(**blocks).refused(code, "tiny.zoo:", *fragments)
    assert project.wrote_nothing()


def test_contradictions_with_the_network_are_all_told_at_once(
    project: Any, make_network: Callable[..., Any]
) -> None:
    onnx.save(make_network(size=40, classes=5), project.folder / "net.onnx")
    outcome = project.compile("--format", "json", model=OPEN)
    assert [d["code"] for d in outcome.json["diagnostics"]] == ["Z0302", "Z0504"]


def test_an_onnx_source_needs_neither_input_nor_classes(project: Any) -> None:
    project.compile(model=OPEN).succeeded()


def test_a_network_of_a_fixed_batch_compiles(project: Any, make_network: Callable[..., Any]) -> None:
    onnx.save(make_network(batch=4), project.folder / "net.onnx")
    project.compile().succeeded()
    project.package("classify", project.folder / "images", "--topk", "1").succeeded()


def test_the_tensor_form_compiles_as_float_and_refuses_images(project: Any) -> None:
    project.compile(preprocess="", quantize="quantize fp32").succeeded()
    outcome = project.package("classify", project.folder / "images" / "1.jpg")
    assert outcome.code == 1
    assert "compiled without a preprocess block and takes no images" in outcome.err


def test_the_tensor_form_is_refused_as_int8_before_anything_is_loaded(project: Any) -> None:
    (project.folder / "net.onnx").write_bytes(b"not looked at")
    project.compile(preprocess="").refused("Z0455", "add a `preprocess` block, or compile the tensor form")
    assert project.wrote_nothing()


def test_missing_weights_are_named_with_what_lies_there(project: Any) -> None:
    timm = 'model { source timm.test_resnet  weights "a.pth"  input [batch, 3, 32, 32]  classes 4 }'
    project.compile(model=timm).refused("Z0119", '"a.pth" does not exist', "relative to the .zoo file")
    assert project.wrote_nothing()


@pytest.mark.slow
def test_an_unknown_model_is_refused_with_near_names(project: Any) -> None:
    pytest.importorskip("timm")
    model = "model { source timm.resnest50  weights random(seed=0)  input [batch, 3, 32, 32]  classes 4 }"
    project.compile(model=model).refused("Z0201", "resnest50", "resnest50d")
    assert project.wrote_nothing()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a Git LFS pointer"),
        (b"garbage" * 100, "it is not a PyTorch checkpoint"),
    ],
)
def test_unreadable_weights_are_refused_with_the_reason(project: Any, content: bytes, reason: str) -> None:
    pytest.importorskip("timm")
    (project.folder / "a.pth").write_bytes(content)
    model = 'model { source timm.test_resnet  weights "a.pth"  input [batch, 3, 32, 32]  classes 4 }'
    project.compile(model=model).refused("Z0204", "a.pth cannot be used as weights", reason, "torch.save")
    assert project.wrote_nothing()


@pytest.mark.slow
def test_weights_that_do_not_fit_are_refused_with_the_keys(project: Any) -> None:
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    state["extra.weight"] = state.pop("layer1.0.conv1.weight")
    torch.save(state, project.folder / "a.pth")
    model = 'model { source timm.test_resnet  weights "a.pth"  input [batch, 3, 32, 32]  classes 4 }'
    project.compile(model=model).refused(
        "Z0205",
        "the weights in a.pth do not fit",
        "missing in the file: layer1.0.conv1.weight",
        "not in the model: extra.weight",
        "fc.bias: [7] in the file, [4] in the model",
    )
    assert project.wrote_nothing()


def test_the_network_may_vanish_after_the_compile(project: Any) -> None:
    project.compile().succeeded()
    for name in ("net.onnx", "tiny.zoo", "labels.txt"):
        (project.folder / name).unlink()
    moved = project.folder / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(project.folder / "out", moved)
    project.package("classify", project.folder / "images" / "1.jpg", folder=moved).succeeded()
    project.package("verify", folder=moved).succeeded()
