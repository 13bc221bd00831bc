from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zooc.deployment import (
    CalibrationMethod,
    Deployment,
    FileWeights,
    ImageSet,
    InputShape,
    Normalize,
    PretrainedWeights,
    RandomWeights,
)
from zooc.diagnostics.diagnostic import Diagnostic, SourceFile
from zooc.frontend.semantics.analyze import analyze, load_deployment, variant_names
from zooc.frontend.semantics.blocks.labels import imagenet1k_names
from zooc.frontend.semantics.blocks.package import name_problem
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse
from zooc.frontend.syntax.vocabulary import BLOCKS, STEPS
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

DESIGN = """
let size = 224

model {
  source   timm.resnest50d
  weights  "weights/resnest50.pth"
  input    [batch, 3, size, size]
  classes  1000
}

preprocess {
  ECenterCrop(size)
  ToTensor()
  Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
}

quantize int8 {
  calibrate  percentile(99.99)
  data       images("calib", suffix="JPEG", count=50, seed=0)
  weights    per_channel
  keep       fp32 ["fc"]
}

postprocess { softmax  topk 5  labels imagenet1k }

package { name resnest50  version "1.0.0"  engines [onnxruntime, openvino] }

variant resnest101 { size = 256  model.source = timm.resnest101e  package.name = resnest101 }
"""

MODEL = "model { source timm.x weights random(seed=3) input [batch, 3, 224, 224] classes 1000 }\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "calib").mkdir()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "resnest50.pth").touch()
    (tmp_path / "resnest.zoo").write_text(DESIGN, encoding="utf-8")
    return tmp_path


def check(
    text: str, variant: str | None = None, *overrides: str
) -> tuple[Deployment | None, list[Diagnostic]]:
    tree, diagnostics = parse(SourceFile("net.zoo", text))
    assert tree is not None, diagnostics
    return analyze(tree, path=DATA / "net.zoo", variant=variant, overrides=overrides)


def accept(text: str, variant: str | None = None, *overrides: str) -> Deployment:
    deployment, diagnostics = check(text, variant, *overrides)
    assert deployment is not None, diagnostics
    return deployment


def test_the_designs_example_is_understood_whole(folder: Path) -> None:
    deployment, diagnostics = load_deployment(folder / "resnest.zoo")
    assert deployment is not None, diagnostics
    assert diagnostics == []
    assert (deployment.model.source.kind, deployment.model.source.name) == ("timm", "resnest50d")
    assert deployment.model.weights == FileWeights(folder / "weights" / "resnest50.pth")
    assert deployment.model.input == InputShape(None, 3, 224, 224)
    assert deployment.preprocess is not None
    assert deployment.preprocess.steps == (ECenterCrop(224),)
    assert deployment.preprocess.normalize == Normalize(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert deployment.quantize.dtype == "int8"
    assert deployment.quantize.calibrate == CalibrationMethod("percentile", 99.99)
    assert deployment.quantize.data == ImageSet(folder / "calib", "JPEG", 50, 0)
    assert deployment.quantize.keep == ("fc",)
    assert deployment.heads[0].activation == "softmax"
    assert deployment.heads[0].labels is not None
    assert deployment.heads[0].labels.names == imagenet1k_names()
    assert (deployment.package.name, deployment.package.version) == ("resnest50", "1.0.0")
    assert deployment.package.engines == ("onnxruntime", "openvino")
    assert deployment.path == folder / "resnest.zoo"
    assert deployment.source_text == DESIGN


def test_a_variant_changes_what_it_names_and_nothing_else(folder: Path) -> None:
    deployment, _ = load_deployment(folder / "resnest.zoo", "resnest101")
    assert deployment is not None
    assert deployment.model.source.name == "resnest101e"
    assert deployment.model.input == InputShape(None, 3, 256, 256)
    assert deployment.preprocess is not None
    assert deployment.preprocess.steps == (ECenterCrop(256),)
    assert deployment.package.name == "resnest101"
    assert deployment.variant == "resnest101"
    assert deployment.quantize.keep == ("fc",)


def test_the_command_line_wins_over_the_variant(folder: Path) -> None:
    overrides = ["size=128", "quantize=fp16", "postprocess.softmax=false", "package.version=2.0", "size=160"]
    deployment, diagnostics = load_deployment(folder / "resnest.zoo", "resnest101", overrides)
    assert deployment is not None, diagnostics
    assert deployment.model.input == InputShape(None, 3, 160, 160)
    assert deployment.quantize.dtype == "fp16"
    assert deployment.quantize.data is None
    assert deployment.quantize.keep == ("fc",)
    assert deployment.heads[0].activation == "none"
    assert deployment.package.version == "2.0"
    assert deployment.overrides == tuple(overrides)


def test_a_path_on_the_command_line_needs_no_quotes(folder: Path) -> None:
    for name in ("a-b.pth", "2 blanks.pth", "plain"):
        (folder / name).touch()
        deployment, diagnostics = load_deployment(folder / "resnest.zoo", None, [f"model.weights={name}"])
        assert deployment is not None, diagnostics
        assert deployment.model.weights == FileWeights(folder / name)
    pretrained, _ = load_deployment(folder / "resnest.zoo", None, ["model.weights=pretrained"])
    assert pretrained is not None
    assert pretrained.model.weights == PretrainedWeights()


def test_defaults_fill_in_what_is_left_out() -> None:
    deployment = accept(MODEL)
    assert deployment.preprocess is None
    assert deployment.quantize.dtype == "fp32"
    assert deployment.heads[0].activation == "none"
    assert deployment.heads[0].topk == 5
    assert deployment.package.name == "net"
    assert deployment.model.weights == RandomWeights(3)
    assert accept(MODEL.replace("1000", "3")).heads[0].topk == 3


def test_steps_take_torchvisions_forms() -> None:
    deployment = accept(
        "let sizes = [224, 224]\n" + MODEL + "preprocess {\n"
        "Resize(232, interpolation=bicubic, max_size=300)\nRGB()\nBGR()\nPad([1, 2], fill=[1, 2, 3])\n"
        'Pad([1, 2, 3, 4], padding_mode=reflect)\nPad(5, mode="edge")\nResize([230, 240])\n'
        "CenterCrop(sizes)\nPILToTensor()\nNormalize(127.5, std=[1, 2, 3])\n}"
    )
    assert deployment.preprocess is not None
    assert deployment.preprocess.steps == (
        Resize(232, "bicubic", 300),
        SwapChannels(),
        Pad(1, 2, 1, 2, (1, 2, 3)),
        Pad(1, 2, 3, 4, mode="reflect"),
        Pad(5, 5, 5, 5, mode="edge"),
        Resize((230, 240)),
        CenterCrop(224, 224),
    )
    assert deployment.preprocess.normalize == Normalize(1.0, (127.5,) * 3, (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ("Resize([100, 200]) Resize(50)", (50, 100)),
        ("Resize([301, 100]) Resize(50)", (150, 50)),
        ("Resize([100, 200]) Resize(50, max_size=60)", (30, 60)),
        ("Resize([100, 200]) Pad([1, 2, 3, 4])", (106, 204)),
        ("Resize(100) Pad(5) CenterCrop(110)", (110, 110)),
    ],
)
def test_the_final_size_follows_torchvisions_rules(steps: str, size: tuple[int, int]) -> None:
    model = MODEL.replace("224, 224", f"{size[0]}, {size[1]}")
    assert accept(f"{model}preprocess {{ {steps} ToTensor() }}").preprocess is not None
    _, (finding, *_) = check(f"{MODEL}preprocess {{ {steps} ToTensor() }}")
    assert finding.code == "Z0302"
    assert f"{size[1]} x {size[0]}" in finding.message


def test_arithmetic_follows_python() -> None:
    text = MODEL.replace("1000", "(2 + 3 * 4 - 7 % 4) * -(-10) // 3")
    assert accept(text).model.classes == (2 + 3 * 4 - 7 % 4) * 10 // 3


def test_lets_may_stand_in_any_order_and_be_many() -> None:
    lets = "\n".join(f"let a{i} = a{i + 1} + 1" for i in range(3000))
    assert accept(f"{lets}\nlet a3000 = 1\n" + MODEL.replace("1000", "a0")).model.classes == 3001


@pytest.mark.parametrize("word", ["nchw", "nhwc", "imagenet1k", "opencv", "torch"])
def test_a_word_of_the_language_cannot_be_redefined(word: str) -> None:
    assert [d.code for d in check(f"let {word} = 1\n" + MODEL)[1] if d.severity == "error"] == ["Z0125"]


def test_a_source_keeps_its_dots() -> None:
    deployment = accept(MODEL.replace("timm.x", "timm.resnet50.a1_in1k"))
    assert deployment.model.source.name == "resnet50.a1_in1k"


def test_an_onnx_source_needs_neither_weights_nor_input(tmp_path: Path) -> None:
    (tmp_path / "n.onnx").touch()
    (tmp_path / "net.zoo").write_text('model { source onnx("n.onnx") }', encoding="utf-8")
    deployment, diagnostics = load_deployment(tmp_path / "net.zoo")
    assert deployment is not None, diagnostics
    assert deployment.model.source.name == str(tmp_path / "n.onnx")
    assert deployment.model.weights is None
    assert deployment.model.input is None


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "w.pth").touch()
    deployment = accept(MODEL.replace("random(seed=3)", '"~/w.pth"'))
    assert deployment.model.weights == FileWeights(tmp_path / "w.pth")


@pytest.mark.parametrize("path", ["~nobody_by_this_name/x", "x" * 5000, "a\\u0000b", ""])
def test_impossible_paths_are_errors_not_tracebacks(path: str) -> None:
    _, (finding,) = check(MODEL.replace("random(seed=3)", f'"{path}"'))
    assert finding.code == "Z0119"


def test_variants_that_are_not_chosen_are_checked_but_not_their_files() -> None:
    good = MODEL + 'variant v { model.weights = "not/here.pth" }'
    assert accept(good).variant is None
    assert check(good, "v")[0] is None
    _, (finding,) = check(MODEL + "variant v { model.weights = random(sede=1) }")
    assert finding.code == "Z0105"


def test_a_let_used_by_a_variant_alone_is_used() -> None:
    assert check("let n = 7\n" + MODEL + "variant v { model.classes = n }")[1] == []


def test_variant_names_come_in_the_files_order() -> None:
    tree, _ = parse(SourceFile("x.zoo", "variant b { }\nvariant a { }"))
    assert tree is not None
    assert variant_names(tree) == ("b", "a")


def test_a_vdsp_file_becomes_the_steps_it_describes() -> None:
    deployment = accept(MODEL + 'preprocess vdsp("dla102x-pillow.json")')
    assert deployment.preprocess is not None
    assert deployment.preprocess.steps == (Resize((256, 256), "bicubic"), Crop(16, 16, 224, 224))
    config = json.loads((DATA / "dla102x-opencv.json").read_text(encoding="utf-8"))["OpConfig"]
    assert deployment.preprocess.normalize == Normalize(255.0, tuple(config["Mean"]), tuple(config["Std"]))
    same = accept(MODEL + 'preprocess { vdsp("dla102x-pillow.json") }')
    assert same.preprocess == deployment.preprocess


@pytest.mark.parametrize("name", ["dla102x-pillow.json", "dla102x-opencv.json"])
def test_the_keys_of_a_vdsp_file_may_stand_in_the_parentheses(name: str) -> None:
    document = json.loads((DATA / name).read_text(encoding="utf-8"))
    config = ", ".join(f"{key}={json.dumps(value)}" for key, value in document["OpConfig"].items())
    inline = accept(MODEL + f"preprocess vdsp(OpType={document['OpType']}, {config})")
    assert inline.preprocess == accept(MODEL + f'preprocess vdsp("{name}")').preprocess


def test_opencv_crops_letterboxes_and_frames_become_their_steps() -> None:
    deployment = accept(
        MODEL + "preprocess { NV12(bt709) Resize([250, 240], library=opencv) Crop(1, 2, 200, 210)"
        " Letterbox(224, fill=[1, 2, 3], interpolation=bicubic, library=pillow) ToTensor() }"
    )
    assert deployment.preprocess is not None
    assert deployment.preprocess.source == "nv12-bt709"
    assert deployment.preprocess.steps == (
        ResizeCv(250, 240),
        Crop(left=2, top=1, height=200, width=210),
        Letterbox(224, 224, "bicubic", (1, 2, 3)),
    )


@pytest.mark.parametrize(
    ("written", "step"),
    [
        ("256, library=torch", ResizeTorch(256)),
        ('256, library="torch", antialias="true"', ResizeTorch(256)),
        ("256, bicubic, 300, torch, false", ResizeTorch(256, "bicubic", 300, antialias=False)),
        ("[250, 240], antialias=false, library=torch", ResizeTorch((250, 240), antialias=False)),
    ],
)
def test_torchs_resize_becomes_its_step(written: str, step: ResizeTorch) -> None:
    text = MODEL + f"preprocess {{ Resize({written}) CenterCrop(224) ToTensor() }}"
    deployment = accept(text)
    assert deployment.preprocess is not None
    assert deployment.preprocess.steps == (step, CenterCrop(224, 224))
    assert accept(format_source(text)).preprocess == deployment.preprocess


def test_the_size_after_torchs_resize_is_followed() -> None:
    _, (finding,) = check(MODEL + "preprocess { Resize([256, 225], library=torch) ToTensor() }")
    assert finding.code == "Z0302"
    _, (finding,) = check(MODEL + "preprocess { Resize(200, library=torch) CenterCrop(224) ToTensor() }")
    assert finding.code == "Z0301"


def test_a_vdsp_file_without_sizes_gets_the_models(tmp_path: Path) -> None:
    document = {
        "OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR",
        "OpConfig": {
            "IimageFormat": "RGB_PLANAR",
            "ResizeType": "BILINEAR_CV",
            "NormaType": "DIV255",
            "ColorCvtCode": "NO_CHANGE",
        },
    }
    (tmp_path / "v.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "net.zoo").write_text(MODEL + 'preprocess vdsp("v.json")', encoding="utf-8")
    deployment, diagnostics = load_deployment(tmp_path / "net.zoo")
    assert deployment is not None and deployment.preprocess is not None, diagnostics
    assert deployment.preprocess.steps == (ResizeCv(224, 224),)


def test_missing_files_may_be_warnings(tmp_path: Path) -> None:
    (tmp_path / "net.zoo").write_text(
        'model { source onnx("no.onnx") input [batch, 3, 8, 8] }\n'
        'preprocess { Resize([9, 8]) ToTensor() }\nquantize int8 { data images("no") }\n'
        'postprocess { labels "no.txt" }\n',
        encoding="utf-8",
    )
    _, findings = load_deployment(tmp_path / "net.zoo", may_miss_files=True)
    assert [f.code for f in findings if f.severity == "error"] == ["Z0302"], "later mistakes are still found"
    assert [f.code for f in findings if f.severity == "warning"] == ["Z0119"] * 3
    _, findings = load_deployment(tmp_path / "net.zoo")
    assert {f.code for f in findings if f.severity == "error"} >= {"Z0119"}


@pytest.mark.parametrize(
    ("change", "normalize", "swaps"),
    [
        (
            {"NormaType": "MINUSMEAN_DIVSTD", "Mean": [1, 2, 3], "Std": [4, 5, 6]},
            Normalize(1.0, (1, 2, 3), (4, 5, 6)),
            0,
        ),
        ({"NormaType": "DIV255"}, Normalize(), 0),
        ({"NormaType": "DIV127.5_MINUSONE", "ColorCvtCode": "RGB2BGR"}, Normalize(127.5, (1, 1, 1)), 1),
        ({"NormaType": "EQUAL"}, Normalize(1.0), 0),
    ],
)
def test_vdsp_normalizations_are_exact(
    tmp_path: Path, change: dict[str, object], normalize: Normalize, swaps: int
) -> None:
    document = json.loads((DATA / "dla102x-pillow.json").read_text(encoding="utf-8"))
    document["OpConfig"].update(change)
    (tmp_path / "v.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "net.zoo").write_text(MODEL + 'preprocess vdsp("v.json")', encoding="utf-8")
    deployment, diagnostics = load_deployment(tmp_path / "net.zoo")
    assert deployment is not None, diagnostics
    assert deployment.preprocess is not None
    assert deployment.preprocess.normalize == normalize
    assert deployment.preprocess.steps.count(SwapChannels()) == swaps


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    st.sampled_from(
        ["OpType", "OpConfig", "Mean", "Std", "CropX", "ResizeWidth", "NormaType", "ColorCvtCode"]
    ),
)
def test_no_vdsp_value_breaks_the_compiler(tmp_path: Path, value: object, key: str) -> None:
    document = json.loads((DATA / "dla102x-pillow.json").read_text(encoding="utf-8"))
    (document if key in document else document["OpConfig"])[key] = value
    (tmp_path / "v.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "net.zoo").write_text(MODEL + 'preprocess vdsp("v.json")', encoding="utf-8")
    deployment, diagnostics = load_deployment(tmp_path / "net.zoo")
    assert deployment is not None or diagnostics


def one_edit(draw: st.DrawFn, word: str) -> str:
    at = draw(st.integers(0, len(word) - 1))
    letter = draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    kind = draw(st.sampled_from(["drop", "change", "insert"]))
    tail = {"drop": word[at + 1 :], "change": letter + word[at + 1 :], "insert": letter + word[at:]}[kind]
    return word[:at] + tail


@st.composite
def misspelt_statements(draw: st.DrawFn) -> tuple[str, str, str]:
    block, word = draw(st.sampled_from([(b, w) for b, words in BLOCKS.items() for w in words]))
    return block, word, one_edit(draw, word)


@settings(max_examples=200, deadline=None)
@given(misspelt_statements())
def test_a_misspelt_statement_is_recognized(case: tuple[str, str, str]) -> None:
    block, word, typo = case
    if typo in BLOCKS[block] or typo == "let" or typo[:1].isdigit():  # the last is a broken number
        return
    head = "quantize fp32" if block == "quantize" else block
    _, diagnostics = check(f"{head} {{\n{typo} 1\n}}")
    (finding,) = [d for d in diagnostics if d.code == "Z0103"]
    assert f"`{word}`" in (finding.hint or "")


@st.composite
def misspelt_steps(draw: st.DrawFn) -> tuple[str, str]:
    word = draw(st.sampled_from(sorted(STEPS)))
    return word, one_edit(draw, word)


@settings(max_examples=200, deadline=None)
@given(misspelt_steps())
def test_a_misspelt_step_is_recognized(case: tuple[str, str]) -> None:
    word, typo = case
    if typo in STEPS or typo == "let":
        return
    _, diagnostics = check(f"{MODEL}preprocess {{ {typo}(1) }}")
    (finding,) = [d for d in diagnostics if d.code == "Z0104"]
    assert f"`{word}`" in (finding.hint or "")


TOKENS = [
    "let a = ",
    "size",
    "224",
    "[batch, 3, 224, 224]",
    "model {",
    "}",
    "\n",
    "source ",
    "timm.x",
    "weights ",
]
TOKENS += [
    "preprocess {",
    "Resize(",
    ")",
    "quantize ",
    "int8 {",
    "data ",
    'images("x")',
    "keep ",
    '"s"',
    "-",
    "topk ",
]
TOKENS += [
    "variant v {",
    "a = 3",
    "package {",
    "name ",
    "version ",
    "engines [",
    "]",
    "vdsp(",
    "labels ",
    "random()",
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=25), st.sampled_from([None, "v"]), st.text(max_size=12))
def test_whatever_parses_can_be_analyzed(pieces: list[str], variant: str | None, override: str) -> None:
    tree, _ = parse(SourceFile("x.zoo", " ".join(pieces)))
    if tree is None:
        return
    deployment, diagnostics = analyze(
        tree, path=DATA / "x.zoo", variant=variant, overrides=[override, f"a={override}"]
    )
    assert (deployment is None) == any(d.severity == "error" for d in diagnostics)


@pytest.mark.parametrize("name", ["match", "resnet50", "Net", "type"])
def test_good_package_names_are_accepted(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    "name", ["class", "json", "PIL", "zooc", "Numpy", "", "a-b", "1a", "été", "_a", "con", "x" * 200]
)
def test_bad_package_names_are_refused(name: str) -> None:
    assert name_problem(name) is not None


@pytest.mark.parametrize(
    "version", ["1", "1.0", "2!1.0", "1.0rc1", "1.0.post2", "1.0.dev3", "v1.0", "1.0+local.1", "1.0-1"]
)
def test_pep440_versions_are_accepted(version: str) -> None:
    assert accept(f'{MODEL}package {{ version "{version}" }}').package.version == version


@pytest.mark.parametrize("version", ["", "x", "1..0", "1.0-", "1.0+", "1.0 ", "1.0\\n", "１.0"])
def test_other_versions_are_refused(version: str) -> None:
    _, (finding,) = check(f'{MODEL}package {{ version "{version}" }}')
    assert finding.code == "Z0121"


def test_the_front_end_imports_nothing_heavy() -> None:
    heavy = "{'numpy', 'onnx', 'torch', 'rich', 'PIL'}"
    code = f"import sys, zooc.frontend; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
