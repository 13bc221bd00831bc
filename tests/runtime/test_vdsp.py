"""vdsp_params files: what they mean, and what is wrong with them, to the line and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc_runtime import PackageError, open_package
from zooc_runtime.preprocessing.opencv_resize import resize_cv_linear
from zooc_runtime.preprocessing.pillow_steps import apply_steps
from zooc_runtime.preprocessing.vdsp.document import VdspParams, examine_vdsp, parse_vdsp, read_vdsp
from zooc_runtime.preprocessing.vdsp.override import check_override

CROP = "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR"
RESIZE = "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR"
LETTERBOX = "FUSION_OP_RGB_LETTERBOX_CVTCOLOR_NORM_TENSOR"
BASE = {
    "IimageFormat": "RGB_PLANAR",
    "IimageWidth": 10,
    "IimageHeight": 10,
    "IimageWidthPitch": 10,
    "IimageHeightPitch": 10,
    "Mean": [0.485107421875, 0.4560546875, 0.406005859375],
    "Std": [0.22900390625, 0.2239990234375, 0.2249755859375],
    "NormaType": "DIV255_MINUSMEAN_DIVSTD",
    "ColorCvtCode": "NO_CHANGE",
    "ResizeType": "BILINEAR_CV",
}
OUT = {"OimageWidth": 8, "OimageHeight": 8}
RESIZED = {"ResizeWidth": 12, "ResizeHeight": 10, "CropX": 2, "CropY": 1}


def _text(op: str = CROP, *, without: str = "", **changes: Any) -> str:
    config = {**BASE, **OUT, **(RESIZED if op == CROP else {}), **changes}
    config.pop(without, None)
    return json.dumps({"OpType": op, "OpConfig": config}, indent=4)


def _pixels(params: VdspParams, image: np.ndarray) -> np.ndarray:
    return apply_steps(image, list(params.steps))


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("resize_type", "filter_"),
    [("BILINEAR_PILLOW", Image.Resampling.BILINEAR), ("BICUBIC_PILLOW", Image.Resampling.BICUBIC)],
)
def test_crop_stretches_and_cuts(image: np.ndarray, resize_type: str, filter_: Image.Resampling) -> None:
    got = _pixels(parse_vdsp(_text(ResizeType=resize_type), "x"), image)
    wanted = np.asarray(Image.fromarray(image).resize((12, 10), filter_))[1:9, 2:10]
    np.testing.assert_array_equal(got, wanted.transpose(2, 0, 1))


def test_resize_stretches_as_opencv(image: np.ndarray) -> None:
    got = _pixels(parse_vdsp(_text(RESIZE), "x"), image)
    np.testing.assert_array_equal(got, resize_cv_linear(image, 8, 8).transpose(2, 0, 1))


def test_letterbox_keeps_the_ratio_and_centres(image: np.ndarray) -> None:
    got = _pixels(parse_vdsp(_text(LETTERBOX, Padding=[1, 2, 3]), "x"), image).transpose(1, 2, 0)
    np.testing.assert_array_equal(got[1:7], resize_cv_linear(image, 6, 8))
    assert (got[[0, 7]] == [1, 2, 3]).all()
    assert (_pixels(parse_vdsp(_text(LETTERBOX), "x"), image)[:, 0] == 114).all()


def test_letterbox_ext_pads_as_stated(image: np.ndarray) -> None:
    sides = {"PaddingLeft": 1, "PaddingTop": 2, "PaddingRight": 3, "PaddingBottom": 4}
    text = _text(f"{LETTERBOX}_EXT", ResizeWidth=12, ResizeHeight=10, Padding=[9, 9, 9], **sides)
    params = parse_vdsp(text, "x")
    got = _pixels(params, image).transpose(1, 2, 0)
    assert got.shape == (16, 16, 3) == (params.height, params.width, 3)
    np.testing.assert_array_equal(got[2:12, 1:13], resize_cv_linear(image, 10, 12))
    assert (got[:2] == 9).all() and (got[12:] == 9).all()


@pytest.mark.parametrize(
    ("form", "code", "bgr"),
    [
        ("RGB_PLANAR", "NO_CHANGE", False),
        ("RGB_PLANAR", "RGB2BGR", True),
        ("BGR888", "BGR2RGB", False),
        ("BGR888", "NO_CHANGE", True),
    ],
)
def test_the_channel_order_follows_from_format_and_code(
    image: np.ndarray, form: str, code: str, bgr: bool
) -> None:
    params = parse_vdsp(_text(IimageFormat=form, ColorCvtCode=code), "x")
    assert params.bgr is bgr
    plain = _pixels(parse_vdsp(_text(), "x"), image)
    np.testing.assert_array_equal(_pixels(params, image), plain[::-1] if bgr else plain)


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("DIV255_MINUSMEAN_DIVSTD", (255, tuple(BASE["Mean"]), tuple(BASE["Std"]))),  # type: ignore[arg-type]
        ("MINUSMEAN_DIVSTD", (1, tuple(BASE["Mean"]), tuple(BASE["Std"]))),  # type: ignore[arg-type]
        ("DIV255", (255, (0, 0, 0), (1, 1, 1))),
        ("DIV127.5_MINUSONE", (127.5, (1, 1, 1), (1, 1, 1))),
        ("DIV1275_MINUSONE", (127.5, (1, 1, 1), (1, 1, 1))),
        ("EQUAL", (1, (0, 0, 0), (1, 1, 1))),
    ],
)
def test_every_normalization_is_understood(kind: str, wanted: tuple[Any, ...]) -> None:
    params = parse_vdsp(_text(NormaType=kind), "x")
    assert (params.divisor, params.mean, params.std) == wanted


def test_mean_and_std_are_not_needed_where_they_mean_nothing() -> None:
    parse_vdsp(_text(without="Mean", NormaType="DIV255", Std=[0, 0, 0]), "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"OpType": \n  nope}', r"p\.json:2:3: not JSON"),
        ("[1]", r"p\.json:1:1: an object with OpType"),
        ('{"OpConfig": {}}', r"p\.json:1:1: OpType is missing"),
        ('{"OpType": "BERT_EMBEDDING_OP"}', r"p\.json:1:12: OpType BERT_EMBEDDING_OP embeds text"),
        (json.dumps({"OpType": CROP[:-1], "OpConfig": {}}), f'did you mean "{CROP}"'),
        (json.dumps({"OpType": CROP}), "OpConfig, an object, is missing"),
        (_text(Std=[0.5, 0, 0.5]), r"p\.json:\d+:13: Std holds a 0"),
        (_text(Mean=[float("nan"), 0, 0]), r"p\.json:\d+:13: NaN is not JSON; write a finite"),
        (_text(Mean=[0, 0]), "Mean is .*three numbers"),
        (_text(Mean="0"), "Mean is .*three numbers"),
        (_text(without="CropX"), "CropX is missing; add it"),
        (
            _text(without="ResizeWidth", ResizeWidht=12),
            r'unknown key "ResizeWidht"; did you mean "ResizeWidth"',
        ),
        (_text(Wobble=1), 'unknown key "Wobble"; remove it'),
        (_text(CropX=5), r"p\.json:\d+:18: a crop of 8 x 8 at \(5, 1\) reaches outside .* 12 x 10"),
        (_text(CropY=-1), "CropY is -1; a whole number from 0"),
        (_text(OimageWidth=8.5), "OimageWidth is 8.5; a whole number"),
        (_text(OimageWidth=True), "OimageWidth is true"),
        (_text(ResizeType="BICUBIC_PILOW"), 'did you mean "BICUBIC_PILLOW"'),
        (_text(ColorCvtCode="BGR2RBG"), 'did you mean "BGR2RGB"'),
        (_text(NormaType="DIV256"), 'did you mean "DIV255"'),
        (_text(LETTERBOX, Padding=[300, 0, 0]), "Padding holds a value"),
        ("[" * 100_000, "nested more than 40 deep"),
        (
            '{"OpType": "x", "OpType": "y"}',
            r"p\.json:1:17: the key .OpType. is given twice .first in line 1, column 2",
        ),
        ('{"OpType": "x",}', r"p\.json:1:15: not JSON: a comma before the end of the object; delete it"),
        ('{"OpType": "x"} 5', r"p\.json:1:17: not JSON: something follows the end"),
        ('{"OpType": "x', r"p\.json:1:12: not JSON: a string without end; close it"),
        ('{"OpType": "x\\"y,\n"OpConfig": {}}', r"p\.json:1:12: not JSON: a string without end; close it"),
        ('{"OpType": x1}', r"p\.json:1:12: not JSON: a value is wanted, not x1"),
        ('{"OpType"\u00a0: 1}', r"p\.json:1:10: not JSON: `:` is wanted, not U\+00A0"),
        (",}", r"p\.json:1:1: not JSON: a value is wanted, not ,"),
        ('{"Mean": [-nan, 0]}', r"p\.json:1:11: -nan is not JSON; write a finite"),
        (_text(Std=[1e300, 1, 1]), "Std holds a number that is far too large"),
        (_text(ColorCvtCode="YUV2RGB_NV12"), "needs YUV_NV12 input"),
        (_text("FUSION_OP_YUV_NV12_RESIZE_2RGB_NORM_TENSOR"), "before the conversion to RGB"),
        (_text(LETTERBOX, EdgePaddingType="REPLICATE"), "EdgePaddingType .* is not supported"),
    ],
)
def test_every_mistake_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(PackageError, match=message) as caught:
        parse_vdsp(text, "p.json")
    assert str(caught.value).startswith("p.json:")


def test_a_trailing_comma_reads_alike_where_the_decoder_finds_it_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = '{"OpType": "x" , }'

    def of_python_3_13(*_: Any) -> None:
        raise json.JSONDecodeError("Illegal trailing comma before end of object", text, text.index(" , ") + 1)

    found = []
    for _ in range(2):
        with pytest.raises(PackageError) as caught:
            parse_vdsp(text, "p.json")
        found.append(str(caught.value))
        monkeypatch.setattr("zooc_runtime.preprocessing.vdsp.placed_json.JSONObject", of_python_3_13)
    assert found == ["p.json:1:16: not JSON: a comma before the end of the object; delete it"] * 2


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    for name in ("x.json", "none.json"):
        with pytest.raises(PackageError, match=f"{name}: cannot be read"):
            read_vdsp(tmp_path / name)


OWN = {
    "steps": [{"op": "CenterCrop", "height": 8, "width": 8}],
    "normalize": {"divisor": 255.0, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
}


def test_values_rounded_to_fp16_are_the_compiled_ones() -> None:
    check_override(parse_vdsp(_text(), "x"), OWN, 8, 8, "x")
    pixel_units = {"Mean": [123.675, 116.28, 103.53], "Std": [58.395, 57.12, 57.375]}
    check_override(parse_vdsp(_text(NormaType="MINUSMEAN_DIVSTD", **pixel_units), "x"), OWN, 8, 8, "x")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Mean": [0.5, 0.456, 0.406]}, "another normalization than the one compiled"),
        ({"Std": [0.229, 0.224, 0.25]}, "another normalization"),
        ({"NormaType": "MINUSMEAN_DIVSTD"}, "another normalization"),
        ({"NormaType": "DIV255"}, "another normalization"),
        ({"ColorCvtCode": "RGB2BGR"}, "ColorCvtCode gives BGR"),
        ({"OimageWidth": 7}, "gives 7 x 8 pixels, but the network takes 8 x 8"),
    ],
)
def test_another_normalization_order_or_size_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        check_override(parse_vdsp(_text(**changes), "x"), OWN, 8, 8, "x")


def test_a_package_runs_with_the_files_preprocessing(
    package: Path, tmp_path: Path, image: np.ndarray
) -> None:
    (tmp_path / "p.json").write_text(_text())
    model = open_package(package, vdsp_params=tmp_path / "p.json")
    np.testing.assert_array_equal(model.pixels(image), _pixels(parse_vdsp(_text(), "x"), image))
    (tmp_path / "p.json").write_text(_text(Mean=[0, 0, 0]))
    with pytest.raises(PackageError, match="another normalization"):
        open_package(package, vdsp_params=tmp_path / "p.json")


def test_all_faults_are_found_at_once() -> None:
    text = _text(Std=[0, 1, 1], ResizeType="x", CropX=-1, Wobble=1)
    messages = [fault.message for fault in examine_vdsp(text).faults]
    assert [m.split()[0] for m in messages] == ["unknown", "Std", "ResizeType", "CropX"]


def test_the_output_size_may_be_the_networks() -> None:
    text = json.loads(_text(without="OimageWidth"))
    del text["OpConfig"]["OimageHeight"]
    found = examine_vdsp(json.dumps(text), {"OimageWidth": 7, "OimageHeight": 6})
    assert found.params is not None
    assert (found.params.height, found.params.width) == (6, 7)
    assert set(found.assumed) == {"OimageWidth", "OimageHeight"}


@pytest.mark.parametrize("code", ["YUV2RGB_NV12", "YUV2BGR_NV12"])
def test_nv12_operations_convert_first(code: str) -> None:
    op = "FUSION_OP_YUV_NV12_CVTCOLOR_RESIZE_NORM_TENSOR"
    params = parse_vdsp(_text(op, IimageFormat="YUV_NV12", ColorCvtCode=code), "x")
    assert params.source == "nv12-bt601"
    assert params.bgr == (code == "YUV2BGR_NV12")


def test_a_crop_before_the_resize_cuts_the_image(image: np.ndarray) -> None:
    op = "FUSION_OP_RGB_CROP_RESIZE_CVTCOLOR_NORM_TENSOR"
    params = parse_vdsp(_text(op, CropX=3, CropY=4, CropWidth=20, CropHeight=30), "x")
    wanted = resize_cv_linear(image[4:34, 3:23], 8, 8)
    np.testing.assert_array_equal(_pixels(params, image), wanted.transpose(2, 0, 1))
