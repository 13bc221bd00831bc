"""What an imported file says, and what it says about contradictions and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.deployment import ModelSource, Normalize, Preprocess
from zooc.diagnostics.diagnostic import Diagnostic
from zooc.frontend.semantics.analyze import load_deployment
from zooc.networks.recipes.official import official_recipe
from zooc.vastai.export_vdsp import NotExpressible, vdsp_document
from zooc.vastai.import_files import import_files
from zooc_runtime.preprocessing.steps import (
    CenterCrop,
    Crop,
    ECenterCrop,
    Letterbox,
    Pad,
    Resize,
    ResizeCv,
    ResizeTorch,
    SwapChannels,
)

DATA = Path(__file__).parent / "data"
RESNEST = DATA / "official_resnest.yaml"

BASE = """name: net_int8
frontend:
  shape:
    input: [1, 3, 64, 48]
  type: onnx
  checkpoint: /path/to/net.onnx
backend:
  type: tvm_vacc
  dtype: int8
  quantize:
    calibrate_mode: percentile
    quantize_per_channel: true
dataset:
  path: /path/to/calib
  sampler:
    suffix: JPEG
    get_data_num: 50
  process_ops:
    - type: DecodeImage
    - type: Resize
      size: [64, 48]
    - type: ToTensor
"""

NORMALIZE = "type: Normalize\n      "


def recipe_of(source: ModelSource) -> tuple[Preprocess, int, int] | None:
    recipe = official_recipe(source)
    return recipe.preprocess, recipe.height, recipe.width


def write(folder: Path, text: str, name: str = "net.yaml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def accepted(folder: Path, text: str, vdsp: Path | None = None) -> tuple[Any, tuple[Diagnostic, ...], str]:
    imported = import_files(write(folder, text), vdsp)
    assert imported.text is not None, imported.diagnostics
    deployment, findings = load_deployment(write(folder, imported.text, "net.zoo"), may_miss_files=True)
    assert deployment is not None, findings
    return deployment, imported.diagnostics, imported.text


def refused(folder: Path, text: str, vdsp: Path | None = None) -> tuple[Diagnostic, ...]:
    imported = import_files(write(folder, text), vdsp)
    assert imported.text is None
    return imported.diagnostics


def vdsp_json(**changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((DATA / "timm-wide_resnet50_2-vdsp_params.json").read_text())
    document["OpConfig"].update(changes)
    return document


def test_yaml_and_json_of_a_family_become_one_model(tmp_path: Path) -> None:
    json_file = DATA / "official-resnest50-vdsp_params.json"
    imported = import_files(RESNEST, json_file, recipe_of=recipe_of)
    assert imported.text is not None
    assert "source official.resnest50\n" in imported.text
    assert "ECenterCrop(224)" in imported.text, "the model's own recipe stands beside the file's"
    deployment, _ = load_deployment(write(tmp_path, imported.text, "r.zoo"), may_miss_files=True)
    assert deployment is not None and deployment.preprocess is not None
    assert deployment.preprocess.steps == (ResizeCv(328, 328), Crop(52, 52, 224, 224))
    assert deployment.quantize.data is not None
    assert (deployment.quantize.data.count, deployment.quantize.data.suffix) == (50, "JPEG")
    messages = [finding.message for finding in imported.diagnostics]
    assert any("resnest101" in m and "resnest50" in m for m in messages)
    assert any("256 x 256" in m and "224 x 224" in m for m in messages)
    assert {finding.code for finding in imported.diagnostics} == {"Z0805"}


def test_the_models_own_recipe_is_held_against_the_files() -> None:
    imported = import_files(RESNEST, recipe_of=recipe_of)
    finding = next(f for f in imported.diagnostics if "differs from official.resnest101's own" in f.message)
    assert any("Resize([333, 333]" in note for note in finding.notes)
    assert any("ECenterCrop(256)" in note for note in finding.notes)


@pytest.mark.parametrize(
    ("change", "thing", "ours", "theirs"),
    [
        ({"CropX": 10}, "the geometry", "CenterCrop(224)", "left=10"),
        ({"ColorCvtCode": "RGB2BGR"}, "the channel order", "RGB", "BGR"),
        ({"Mean": [0.5, 0.5, 0.5]}, "the normalization", "0.485", "0.5"),
    ],
)
def test_contradictions_of_yaml_and_json_are_told_with_both_values(
    tmp_path: Path, change: dict[str, Any], thing: str, ours: str, theirs: str
) -> None:
    json_file = write(tmp_path, json.dumps(vdsp_json(**change), indent=1), "timm-wide_resnet50_2.json")
    found = import_files(DATA / "timm_wideres.yaml", json_file).diagnostics
    assert [f.message.split(" of ")[0] for f in found] == [thing]
    assert ours in found[0].notes[0] and theirs in found[0].notes[1]
    assert found[0].span is not None and found[0].labels[0].span.source.name == str(json_file)


def test_agreeing_files_give_no_warning() -> None:
    json_file = DATA / "timm-wide_resnet50_2-vdsp_params.json"
    imported = import_files(DATA / "timm_wideres.yaml", json_file)
    assert imported.diagnostics == ()
    assert imported.text is not None and "source timm.wide_resnet50_2\n" in imported.text


def test_a_misspelt_key_is_read_as_what_it_is_nearly() -> None:
    imported = import_files(DATA / "ppcls_mobilenetv3.yaml")
    assert [(f.code, f.severity) for f in imported.diagnostics] == [("Z0803", "warning")]
    assert imported.diagnostics[0].span is not None
    assert imported.diagnostics[0].span.text == "alibrate_mode"


def test_a_checkpoint_that_is_there_is_the_source(tmp_path: Path) -> None:
    text = RESNEST.read_text(encoding="utf-8").replace("/path/to/resnest101.onnx", "resnest101.onnx")
    write(tmp_path, "", "resnest101.onnx")
    imported = import_files(write(tmp_path, text), output=tmp_path / "sub" / "net.zoo")
    assert imported.text is not None
    assert 'source onnx("../resnest101.onnx")' in imported.text
    assert "official.resnest101" in imported.text


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "calibrate_mode: percentile",
            "calibrate_mode: percentile\n    calibrate_range: 0.999",
            "percentile(99.9)",
        ),
        ("calibrate_mode: percentile", "calibrate_mode: kl_divergence", "calibrate kl_divergence"),
        ("quantize_per_channel: true", "quantize_per_channel: false", "weights per_tensor"),
        ("dtype: int8", "dtype: fp16", "quantize fp16"),
        ("dtype: int8", "dtype: int8\n  compile:\n    cluster_mode: 0", "backend.compile.cluster_mode = 0"),
        ("name: net_int8", "name: net_int8\ngraph:\n  extra_ops:\n    type: softmax", "softmax"),
        ("type: tvm_vacc", "type: tvm_runmodel", "model.run_tensor"),
        ("size: [64, 48]", "size: [64, 48]\n    - type: CvtColor\n      code: COLOR_RGB2BGR", "BGR()"),
        ("[1, 3, 64, 48]", "[8, 3, 64, 48]", "a batch of 8"),
    ],
)
def test_settings_find_their_place(tmp_path: Path, old: str, new: str, wanted: str) -> None:
    _, _, text = accepted(tmp_path, BASE.replace(old, new))
    assert wanted in text


def test_tvm_runmodel_in_half_precision_is_the_tensor_form(tmp_path: Path) -> None:
    text = BASE.replace("tvm_vacc", "tvm_runmodel").replace("int8\n  quantize", "fp16\n  quantize")
    deployment, _, _ = accepted(tmp_path, text)
    assert deployment.preprocess is None
    assert deployment.quantize.dtype == "fp16"


def test_normalization_follows_div255_and_norm_type(tmp_path: Path) -> None:
    cases = {
        "mean: [1, 2, 3]\n      std: [4, 5, 6]\n      div255: false": Normalize(1.0, (1, 2, 3), (4, 5, 6)),
        "mean: [0.5, 0.5, 0.5]\n      std: [0.5, 0.5, 0.5]\n      div255: null": Normalize(
            255.0, (0.5,) * 3, (0.5,) * 3
        ),
        "norm_type: None": Normalize(),
        "div255: true\n      norm_type: null": Normalize(),
    }
    for text, wanted in cases.items():
        step = f"- type: Normalize\n      {text}\n    - type: ToTensor"
        deployment, _, _ = accepted(tmp_path, BASE.replace("- type: ToTensor", step))
        assert deployment.preprocess.normalize == wanted


def test_the_older_layout_is_read(tmp_path: Path) -> None:
    text = """model:
  name: resnet50
  inputs:
    input: [1, 3, 224, 224]
  checkpoint: weights/torchvision/resnet50.onnx
engine:
  type: vacc
  common:
    do_quantization: true
  add_extra_ops_to_graph:
    type: softmax
  calibration:
    quant_mode: kl_divergence
    per_channel: true
dataset:
  path: eval/ILSVRC2012_img_calib
  sampler: {suffix: JPEG, get_data_num: 1000}
  transform_ops:
    - type: DecodeImage
    - {type: Resize, size: [256, 256]}
    - {type: CenterCrop, crop_size: [224, 224]}
    - {type: Normalize, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
    - type: ToTensor
"""
    deployment, _, _ = accepted(tmp_path, text)
    assert deployment.preprocess.steps == (ResizeCv(256, 256), CenterCrop(224, 224))
    assert str(deployment.quantize.calibrate) == "kl_divergence"
    assert deployment.heads[0].activation == "softmax"


@pytest.mark.parametrize(
    ("old", "new", "code", "words", "line"),
    [
        ("", "- 1\n", "Z0802", "is not a mapping", 1),
        ("", "\n", "Z0802", "is empty", 1),
        ("frontend:", "frontend: &a", "Z0801", "anchors and aliases", 2),
        ("name: net_int8", "name: *a", "Z0801", "anchors and aliases", 1),
        ("name: net_int8", "name: !!python/object:os.system x", "Z0801", "the tag", 1),
        ("  type: onnx", "\ttype: onnx", "Z0801", "a tab in the indentation", 5),
        ("  type: onnx", "  type: onnx\n  type: onnx", "Z0802", "`type` is given twice", 6),
        ("name: net_int8", "name: net_int8\n---\nname: b", "Z0801", "a second document", 2),
        ("name: net_int8", "nane: [", "Z0801", "not YAML", None),
        ("[1, 3, 64, 48]", "[1, 512]", "Z0804", "2 dimensions", 4),
        ("[1, 3, 64, 48]", "[1, 3, 64, x]", "Z0802", "list of whole numbers", 4),
        ("[1, 3, 64, 48]", "[1, 3, 64, 99999]", "Z0802", "from 1 to 8192", 4),
        ("[1, 3, 64, 48]", "[1, 1, 64, 48]", "Z0804", "1 channel(s)", 4),
        ("type: onnx", "type: huggingface", "Z0804", "generates text", 5),
        ("  checkpoint: /path/to/net.onnx\n", "", "Z0802", "`frontend.checkpoint` is missing", 3),
        ("type: tvm_vacc", "type: tvm_llm", "Z0804", "tvm_llm", 8),
        ("dtype: int8", "dtype: int4", "Z0804", "int4", 9),
        ("mode: percentile", "mode: entropy", "Z0804", "entropy", 11),
        ("mode: percentile", "mode: percentile\n    calibrate_range: 99.9", "Z0802", "at most 1", 12),
        ("per_channel: true", "per_channel: [1]", "Z0802", "true or false", 12),
        ("dtype: int8", "dtype: [int8]", "Z0802", "must be a word", 9),
        ("suffix: JPEG", "suffix: npz", "Z0804", "npz tensors", 16),
        ("get_data_num: 50", "get_data_num: 0", "Z0802", "at least 1", 17),
        ("size: [64, 48]", "size: [64, 0]", "Z0802", "from 1 to 8192", 21),
        ("size: [64, 48]", "size: [64, -1]\n      adaptive_side: long", "Z0804", "longer side", 21),
        ("size: [64, 48]", "sizze: [64, 48]\n      colour: 1", "Z0803", "`Resize.colour`", 22),
        ("type: DecodeImage", "type: CustomFunc", "Z0804", "Python code", 19),
        ("type: DecodeImage", "type: Wobble", "Z0804", "`Wobble`", 19),
        ("- type: ToTensor", "- ToTensor", "Z0802", "a mapping with a `type`", 22),
        ("type: ToTensor", f"{NORMALIZE}mean: [0, 0]\n      std: [1, 1, 1]", "Z0802", "3 numbers", 23),
        ("type: ToTensor", f"{NORMALIZE}mean: [0, 0, 0]\n      std: [1, 0, 1]", "Z0802", "above 0", 24),
        ("type: ToTensor", f"{NORMALIZE}mean: [0, 0, .nan]\n      std: [1, 1, 1]", "Z0802", "3 numbers", 23),
        ("name: net_int8", "name: x\ngraph:\n  extra_ops:\n    type: topk_nms", "Z0804", "topk_nms", 4),
        ("dataset:", "datasets_of_mine:", "Z0803", "unknown section", 13),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, code: str, words: str, line: int | None
) -> None:
    found = refused(tmp_path, new if not old else BASE.replace(old, new, 1))
    hits = [f for f in found if f.code == code and words in f.message]
    assert hits, found
    if line is not None:
        assert hits[0].span is not None and hits[0].span.position()[0] == line


def test_files_that_are_no_configuration_are_named(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"a: 1\n" * 10_000_000)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    write(tmp_path, "a: \x07", "bell.yaml")
    write(tmp_path, "[" * 5000, "deep.yaml")
    for name, words in {
        "big.yaml": "larger than 100,000 bytes",
        "binary.yaml": "is not UTF-8",
        "bell.yaml": "not YAML",
        "deep.yaml": "nested more than",
        "none.yaml": "there is no such file",
        ".": "is a folder",
    }.items():
        found = import_files(tmp_path / name).diagnostics
        assert [f.code for f in found] == ["Z0801"]
        assert words in found[0].message


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"Std": [0.2, 0, 0.2]}, "Z0310", "Std holds a 0"),
        ({"CropX": 100}, "Z0310", "reaches outside"),
        ({"ResizeTyp": 1}, "Z0310", "unknown key"),
        ({"Mean": [float("nan"), 0, 0]}, "Z0310", "NaN is not JSON"),
    ],
)
def test_each_mistake_of_a_json_is_named(
    tmp_path: Path, change: dict[str, Any], code: str, words: str
) -> None:
    file = write(tmp_path, json.dumps(vdsp_json(**change), indent=1), "p.json")
    for found in (import_files(file).diagnostics, import_files(DATA / "timm_wideres.yaml", file).diagnostics):
        assert any(f.code == code and words in f.message and f.span is not None for f in found)


def test_sizes_left_out_are_the_networks_or_assumed() -> None:
    file = DATA / "apple-mobilevit_b-vdsp_params.json"
    alone = import_files(file)
    assert alone.text is not None and [f.code for f in alone.diagnostics] == ["Z0806"]
    assert "ResizeHeight" in alone.diagnostics[0].message and "OimageHeight" in alone.diagnostics[0].message
    both = import_files(DATA / "mobilevit_apple.yaml", file)
    assert both.text is not None
    assert "Oimage" not in both.diagnostics[0].message


def test_an_assumed_size_follows_a_crop_of_any_size(tmp_path: Path) -> None:
    document = vdsp_json(CropHeight=1080, CropWidth=1920)
    document["OpType"] = "FUSION_OP_RGB_CROP_RESIZE_CVTCOLOR_NORM_TENSOR"
    del document["OpConfig"]["OimageHeight"], document["OpConfig"]["OimageWidth"]
    imported = import_files(write(tmp_path, json.dumps(document), "p.json"))
    assert imported.text is not None and [f.code for f in imported.diagnostics] == ["Z0806"]
    assert imported.diagnostics[0].notes == ("assumed: 224 x 224 after the resize, 224 x 224 at the end",)


strings = st.sampled_from(BASE.split())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(word=strings, other=st.one_of(strings, st.text(max_size=8)), count=st.integers(1, 3))
def test_no_change_of_a_configuration_breaks_the_importer(
    tmp_path: Path, word: str, other: str, count: int
) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(BASE.replace(word, other, count), encoding="utf-8", errors="replace")
    imported = import_files(file)
    assert imported.text is not None or imported.diagnostics
    if imported.text is not None:
        load_deployment(write(tmp_path, imported.text, "net.zoo"), may_miss_files=True)


sides = st.integers(1, 600)
halves = st.floats(0.0078125, 250, width=16)
resizes = st.one_of(
    st.builds(ResizeCv, sides, sides),
    st.builds(Resize, st.tuples(sides, sides), st.sampled_from(["bilinear", "bicubic", "box"])),
)
fills = st.tuples(*[st.integers(0, 255)] * 3)


@st.composite
def preprocesses(draw: st.DrawFn) -> Preprocess:
    resize = draw(resizes)
    height, width = resize.size if isinstance(resize, Resize) else (resize.height, resize.width)
    kind = draw(st.sampled_from(["resize", "crop", "first", "pad", "letterbox"]))
    crop_height, crop_width = draw(st.integers(1, height)), draw(st.integers(1, width))
    top, left = draw(st.integers(0, height - crop_height)), draw(st.integers(0, width - crop_width))
    crop = Crop(left, top, crop_height, crop_width)
    pad = Pad(*draw(st.tuples(*[st.integers(0, 9)] * 4)), fill=draw(fills))
    letterbox = Letterbox(height, width, draw(st.sampled_from(["bilinear_cv", "bicubic"])), draw(fills))
    steps: dict[str, tuple[Any, ...]] = {
        "resize": (resize,), "crop": (resize, crop), "first": (crop, resize), "pad": (resize, pad),
        "letterbox": (letterbox,),
    }  # fmt: skip
    swap = (SwapChannels(),) if draw(st.booleans()) else ()
    triples = st.tuples(halves, halves, halves)
    normalize = Normalize(draw(st.sampled_from([255.0, 1.0])), draw(triples), draw(triples))
    nv12 = kind in ("resize", "crop", "letterbox") and draw(st.booleans())
    return Preprocess((*steps[kind], *swap), normalize, "nv12-bt601" if nv12 else "rgb")


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(preprocess=preprocesses())
def test_what_is_exported_comes_back(tmp_path: Path, preprocess: Preprocess) -> None:
    document, changes = vdsp_document(preprocess)
    imported = import_files(write(tmp_path, json.dumps(document), "p.json"))
    assert imported.text is not None, imported.diagnostics
    deployment, findings = load_deployment(write(tmp_path, imported.text, "net.zoo"), may_miss_files=True)
    assert deployment is not None, findings
    assert deployment.preprocess == preprocess
    assert changes == []


@pytest.mark.parametrize(
    ("preprocess", "words"),
    [
        (Preprocess((ECenterCrop(224),), Normalize()), "ECenterCrop(224) crops before it resizes"),
        (Preprocess((Resize(256), CenterCrop(224, 224)), Normalize()), "keeps the aspect ratio"),
        (Preprocess((Resize((9, 9), "nearest"),), Normalize()), "has no ResizeType"),
        (Preprocess((ResizeCv(9, 9),), Normalize(), "nv12-bt709"), "BT.601 is implied"),
    ],
)
def test_what_no_operation_does_is_refused_or_approximated(preprocess: Preprocess, words: str) -> None:
    with pytest.raises(NotExpressible) as caught:
        vdsp_document(preprocess)
    assert words in caught.value.reason
    document, changes = vdsp_document(preprocess, approximate=True)
    assert document["OpType"].startswith("FUSION_OP_") and changes


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess((), Normalize()),
        Preprocess((Resize(256, max_size=300), CenterCrop(224, 224)), Normalize()),
        Preprocess((ResizeTorch((9, 9)),), Normalize()),
        Preprocess((ResizeCv(9, 9), CenterCrop(10, 10)), Normalize()),
        Preprocess((ResizeCv(9, 9), ResizeCv(8, 8)), Normalize()),
        Preprocess((ResizeCv(9, 9),), Normalize(1.0, (1e6, 0, 0))),
        Preprocess((ResizeCv(9, 9),), Normalize(1.0, std=(1e-9, 1, 1))),
    ],
)
def test_what_nothing_comes_near_is_refused_even_so(preprocess: Preprocess) -> None:
    with pytest.raises(NotExpressible):
        vdsp_document(preprocess, approximate=True)


def test_the_commands_write_files_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zooc.cli.commands.import_vastai.recipe_of", lambda _: None)
    runner = CliRunner()
    result, back = tmp_path / "net.zoo", tmp_path / "p.json"
    json_file = DATA / "official-resnest101-vdsp_params.json"
    arguments = ["import", str(RESNEST), "--vdsp", str(json_file), "-o", str(result)]
    assert runner.invoke(app, arguments).exit_code == 0
    again = runner.invoke(app, arguments)
    assert again.exit_code == 1 and "Z0812" in again.output
    assert runner.invoke(app, [*arguments, "--force"]).exit_code == 0
    assert runner.invoke(app, ["check", str(result)]).exit_code == 0
    assert runner.invoke(app, ["check", "--require-files", str(result)]).exit_code == 1
    assert runner.invoke(app, ["export-vdsp", str(result), "-o", str(back)]).exit_code == 0
    assert json.loads(back.read_text()) == json.loads(json_file.read_text())
    refusal = runner.invoke(app, ["import", str(DATA / "official_yolov6.yaml"), "--format", "json"])
    assert refusal.exit_code == 1 and json.loads(refusal.output)["diagnostics"][0]["line"] == 30


def test_a_dash_as_output_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zooc.cli.commands.import_vastai.recipe_of", lambda _: None)
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    json_file = DATA / "official-resnest101-vdsp_params.json"
    imported = runner.invoke(app, ["import", str(RESNEST), "--vdsp", str(json_file), "-o", "-"])
    assert imported.exit_code == 0 and imported.stdout.startswith("# Imported from")
    Path("net.zoo").write_text(imported.stdout)
    exported = runner.invoke(app, ["export-vdsp", "net.zoo", "-o", "-"])
    assert json.loads(exported.stdout) == json.loads(json_file.read_text())
    assert not Path("-").exists()
