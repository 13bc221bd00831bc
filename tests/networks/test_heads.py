"""Binary, multi-label, embedding and several-headed networks: from the file to the package's answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from zooc.compilation import Request
from zooc.diagnostics.diagnostic import ZoocError
from zooc.pipeline.compile import compile_graph, compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.agreement import sqnr_db
from zooc_runtime import PackageError, open_package
from zooc_runtime.commands.main import main

SIDE = 24
INT8 = 'int8 { data images("images")  calibrate max }'
Run = Callable[..., tuple[int, str, str]]


def network(**outputs: tuple[int, str]) -> onnx.ModelProto:
    """Two convolutions, and for each output a Gemm of so many scores with an operator behind it, or none."""
    random = np.random.default_rng(0)
    nodes, stored = [], []

    def op(kind: str, inputs: Sequence[str], out: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def weight(name: str, *shape: int) -> str:
        values = random.normal(0, np.sqrt(2 / np.prod(shape[1:] or (200,))), shape)
        stored.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    x = op("Conv", ["in", weight("w1", 8, 3, 3, 3), weight("b1", 8)], "c1", pads=[1] * 4)
    x = op("Conv", [op("Relu", [x], "r1"), weight("w2", 16, 8, 3, 3), weight("b2", 16)], "c2", strides=[2, 2])
    x = op("Flatten", [op("GlobalAveragePool", [op("Relu", [x], "r2")], "p")], "f")
    for name, (scores, last) in outputs.items():
        inputs = [x, weight(f"{name}.w", 16, scores), weight(f"{name}.b", scores)]
        gemm = op("Gemm", inputs, f"{name}.raw" if last else name)
        if last:
            op(last, [gemm], name)
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(o, TensorProto.FLOAT, ["n", n]) for o, (n, _) in outputs.items()],
        stored,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    for number in range(12):
        side = tmp_path / "images" / ("no", "yes")[number % 2]
        side.mkdir(parents=True, exist_ok=True)
        tint = random.uniform(0, 1, 3)
        coarse = Image.fromarray((random.integers(0, 256, (5, 5, 3)) * tint).astype(np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(side / f"{number}.png")
    return tmp_path


def built(folder: Path, model: onnx.ModelProto, block: str, quantize: str = "fp32", out: str = "out") -> Path:
    onnx.save(model, folder / "net.onnx")
    text = f"""
model {{ source onnx("net.onnx") }}
preprocess {{ Resize([{SIDE}, {SIDE}])  ToTensor() }}
quantize {quantize}
{block}
package {{ name net }}
"""
    (folder / "net.zoo").write_text(text, encoding="utf-8")
    written = compile_package(
        Request(folder / "net.zoo", output=folder / out, force=True), Context(Cache(None), Progress())
    )
    return written.folder / "net" if (written.folder / "net").is_dir() else written.folder


def pictures(folder: Path) -> list[Path]:
    return sorted((folder / "images").rglob("*.png"))


def raw(model: onnx.ModelProto, folder: Path) -> list[np.ndarray]:
    """What the file itself answers, output by output, the pixels prepared here."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pixels = np.stack([np.asarray(Image.open(path)) for path in pictures(folder)]).astype(np.float32) / 255
    found: list[np.ndarray] = session.run(None, {"in": pixels.transpose(0, 3, 1, 2)})
    return found


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(package: Path, *arguments: str | Path) -> tuple[int, str, str]:
        try:
            code = main(package, [str(one) for one in arguments])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return code, *capsys.readouterr()

    return call


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values.astype(np.float64)))


def unit(values: np.ndarray) -> np.ndarray:
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True))


KINDS: dict[str, tuple[int, str, Callable[[np.ndarray], np.ndarray]]] = {
    "multi_label": (5, "postprocess { sigmoid }", sigmoid),
    "binary": (1, "postprocess { sigmoid }", sigmoid),
    "embedding": (12, "postprocess { l2_normalize }", unit),
}


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_kind_of_head_answers_what_its_file_answers(kind: str, folder: Path) -> None:
    count, block, activation = KINDS[kind]
    model = network(scores=(count, ""))
    (wanted,) = map(activation, raw(model, folder))
    with open_package(built(folder, model, block)) as package:
        exact = package.embed(pictures(folder)) if kind == "embedding" else package.scores(pictures(folder))
    np.testing.assert_allclose(exact, wanted, atol=1e-4)
    with open_package(built(folder, model, block, INT8)) as package:
        near = package.embed(pictures(folder)) if kind == "embedding" else package.scores(pictures(folder))
    assert sqnr_db(wanted, near) > 20


@pytest.mark.parametrize("block", ["", "postprocess { sigmoid }"])
def test_a_sigmoid_in_the_file_is_kept_and_not_applied_twice(block: str, folder: Path) -> None:
    model = network(scores=(5, "Sigmoid"))
    with open_package(built(folder, model, block)) as package:
        assert package.manifest["postprocess"]["activation"] == "sigmoid"
        np.testing.assert_allclose(package.scores(pictures(folder)), raw(model, folder)[0], atol=1e-5)


def test_predictions_are_the_classes_from_the_threshold_up(folder: Path) -> None:
    model = network(scores=(5, ""))
    wanted = sigmoid(raw(model, folder)[0])
    with open_package(built(folder, model, "postprocess { sigmoid  threshold 0.6 }")) as package:
        results = package(pictures(folder))
    found = [{one.index for one in result.predictions} for result in results]
    assert found == [set(np.flatnonzero(row >= 0.6)) for row in wanted]
    assert len({len(one) for one in found}) > 1  # not always the same number


def test_multi_label_evaluation_counts_by_class(folder: Path, run: Run) -> None:
    model = network(scores=(5, ""))
    wanted = sigmoid(raw(model, folder)[0]) >= 0.5
    package = built(folder, model, "postprocess { sigmoid }")
    lines = []
    for path, row in zip(pictures(folder), wanted, strict=True):
        ids = [str(index) for index in np.flatnonzero(row) if index != 4]  # class 4 is never there
        lines.append(f"{path.name} {','.join(ids) or '-'}\n")
    (folder / "truth.txt").write_text("".join(lines))
    code, out, _ = run(package, "eval", folder / "images", "--truth", folder / "truth.txt", "--json")
    document = json.loads(out)
    assert code == 0
    for row in document["per_class"][:4]:
        assert row["images"] == wanted[:, row["id"]].sum()
        assert row["images"] == 0 or row["f1"] == row["precision"] == row["recall"] == 100
    assert document["per_class"][4]["predicted"] == wanted[:, 4].sum()
    assert document["per_class"][4]["average_precision"] is None
    assert 0 < wanted[:, :4].mean() < 1


def test_one_score_tells_two_named_sides_apart(folder: Path, run: Run) -> None:
    (folder / "sides.txt").write_text("no\nyes\n")
    model = network(scores=(1, ""))
    wanted = sigmoid(raw(model, folder)[0])[:, 0]
    package = built(folder, model, 'postprocess { sigmoid  threshold 0.82  labels "sides.txt" }')
    with open_package(package) as opened:
        results = opened(pictures(folder))
    assert [result.topk[0].label for result in results] == ["yes" if p >= 0.82 else "no" for p in wanted]
    code, out, _ = run(package, "eval", folder / "images", "--json")
    truth = np.array([path.parent.name == "yes" for path in pictures(folder)])
    assert code == 0
    assert json.loads(out)["top1_rate"] == pytest.approx(100 * ((wanted >= 0.82) == truth).mean())


def test_embeddings_are_evaluated_by_recall_and_refuse_classes(folder: Path, run: Run) -> None:
    model = network(scores=(12, ""))
    package = built(folder, model, "postprocess { l2_normalize }")
    code, out, _ = run(package, "eval", folder / "images", "--json")
    own = unit(raw(model, folder)[0])
    similar = own @ own.T - 2 * np.eye(len(own))
    sides = np.array([path.parent.name for path in pictures(folder)])
    assert code == 0
    assert json.loads(out)["recall_at_1"] == pytest.approx(
        100 * (sides[similar.argmax(axis=1)] == sides).mean()
    )
    code, out, err = run(package, "classify", pictures(folder)[0])
    assert code != 0 and "embed(images)" in err and out == ""
    with open_package(package) as opened, pytest.raises(PackageError, match="embed"):
        opened(pictures(folder)[0])


HEADS = """heads {
  age: output "years"  softmax  topk 2
  wearing: sigmoid  threshold 0.5
}"""


@pytest.mark.parametrize("quantize", ["fp32", INT8], ids=["fp32", "int8"])
def test_several_heads_answer_in_a_row_and_by_their_names(quantize: str, folder: Path, run: Run) -> None:
    model = network(wearing=(4, ""), unread=(7, ""), years=(3, "Softmax"))
    wearing, _, years = raw(model, folder)
    wanted = {"age": years, "wearing": sigmoid(wearing)}
    package = built(folder, model, HEADS, quantize)
    with open_package(package) as opened:
        results = opened(pictures(folder))
    for name, scores in wanted.items():
        got = np.stack([result.heads[name].probabilities for result in results])
        if quantize == "fp32":
            np.testing.assert_allclose(got, scores, atol=1e-4)
        else:
            assert sqnr_db(scores, got) > 20
    assert len(results[0].heads["age"].topk) == 2
    whole = onnxruntime.InferenceSession((package / "model.onnx").read_bytes())
    joined, age, on = whole.run(None, {"image": np.asarray(Image.open(pictures(folder)[0]))})
    np.testing.assert_array_equal(joined, np.concatenate([age, on], axis=1))
    assert [one.name for one in whole.get_outputs()][1:] == ["age", "wearing"]
    code, _, err = run(package, "eval", folder / "images", "--head", "agee")
    assert code != 0 and "age" in err
    assert run(package, "verify")[0] == 0


def test_a_contract_over_heads_compares_int8_with_float(folder: Path) -> None:
    model = network(wearing=(4, ""), years=(3, "Softmax"))
    contract = 'int8 { data images("images")  calibrate max  require drop <= 50% on images("images"LABELS) }'
    block = "heads { years: topk 1  wearing: sigmoid }"
    assert built(folder, model, block, contract.replace("LABELS", ", labels=none")).is_dir()
    with pytest.raises(ZoocError) as caught:
        built(folder, model, block, contract.replace("LABELS", ", labels=folders"))
    assert caught.value.diagnostics[0].code == "Z0512"
    assert "labels=none" in (caught.value.diagnostics[0].hint or "")


MISTAKES = [
    ("postprocess { sigmiod }", "Z0103", "sigmoid"),
    ("postprocess { sigmoid  threshold 1.5 }", "Z0110", "0.015"),
    ("postprocess { sigmoid  threshold -0.1 }", "Z0110", "threshold 0.5"),
    ('postprocess { sigmoid  threshold "half" }', "Z0109", ""),
    ("postprocess { softmax  sigmoid }", "Z0507", "training"),
    ("postprocess { softmax  threshold 0.5 }", "Z0508", "sigmoid"),
    ("postprocess { l2_normalize  topk 1 }", "Z0508", "delete"),
    ("postprocess { softmax }", "Z0509", "sigmoid"),
    ("heads { yeers: topk 1 }", "Z0214", "years"),
    ('heads { a: output "yeers"  topk 1 }', "Z0214", "years"),
    ("heads { }", "Z0118", "heads { age"),
    ("heads { years: topk 1  years: topk 2 }", "Z0107", "one of the two"),
    ("heads { softmax }", "Z0001", "before the colon"),
    ("heads { years: topk 9 }", "Z0505", "at most 3"),
    ('heads { logits: output "years"  topk 1 }', "Z0125", "another name"),
    ("heads { years: sofmax }", "Z0103", "softmax"),
    ("postprocess { topk: 5 }", "Z0004", ""),
    ("heads { years: topk 1 }\npostprocess { sigmoid }", "Z0510", "behind the name"),
]


@pytest.mark.parametrize(("block", "code", "hint"), MISTAKES, ids=[block for block, *_ in MISTAKES])
def test_a_mistake_is_named_with_its_remedy(block: str, code: str, hint: str, folder: Path) -> None:
    one_output = block.startswith("post")
    model = network(scores=(3, "Sigmoid")) if one_output else network(years=(3, ""), other=(2, ""))
    with pytest.raises(ZoocError) as caught:
        built(folder, model, block)
    found = {one.code: one for one in caught.value.diagnostics}
    assert code in found, caught.value.diagnostics
    assert hint in (found[code].hint or "")
    assert found[code].span is not None
    assert not (folder / "out").exists()


@pytest.mark.parametrize(("block", "warned"), [("", ["Z0511"]), ("postprocess { sigmoid }", [])])
def test_one_score_without_an_activation_is_a_warning(block: str, warned: list[str], folder: Path) -> None:
    onnx.save(network(scores=(1, "")), folder / "net.onnx")
    (folder / "net.zoo").write_text(f'model {{ source onnx("net.onnx") }}\n{block}\npackage {{ name net }}\n')
    context = Context(Cache(None), Progress())
    compile_graph(Request(folder / "net.zoo"), context)
    assert [one.code for one in context.diagnostics()] == warned
