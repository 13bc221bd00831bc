from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.deployment import Normalize
from zooc.frontend.semantics.analyze import load_deployment
from zooc.frontend.syntax.formatter import format_source
from zooc.networks.recipes.describe import describe_recipe
from zooc.networks.recipes.find import find_recipe
from zooc.networks.recipes.recipe import ModelSource, Preprocess, Recipe
from zooc.networks.torch import checkpoint
from zooc.networks.torch.official_names import OFFICIAL
from zooc_runtime.preprocessing.steps import CenterCrop, ECenterCrop, Resize

IMAGENET = Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def new(*arguments: str):
    return CliRunner().invoke(app, ["new", *arguments])


def checked(file: str):
    """The description, which must be free of errors and warnings and in the standard layout."""
    deployment, diagnostics = load_deployment(Path(file))
    assert diagnostics == []
    text = Path(file).read_text("utf-8")
    assert format_source(text, file) == text
    assert text.startswith("# ")
    return deployment


@pytest.mark.parametrize(
    ("name", "size"), [("resnest50", 224), ("resnest101", 256), ("resnest200", 320), ("resnest269", 416)]
)
def test_resnests_get_their_own_sizes_and_crop(name, size):
    done = new(f"official.{name}")
    assert (done.exit_code, done.stdout) == (0, f"wrote {name}.zoo; next: zooc compile {name}.zoo\n")
    deployment = checked(f"{name}.zoo")
    assert (deployment.model.input.height, deployment.model.input.width) == (size, size)
    assert deployment.preprocess.steps == (ECenterCrop(size),)
    assert deployment.preprocess.normalize == IMAGENET
    assert deployment.package.name == name
    assert len(deployment.heads[0].labels.names) == 1000


def test_iresnets_get_224_out_of_256_and_random_weights_until_a_file_is_named():
    assert new("official.iresnet152").exit_code == 0
    deployment = checked("iresnet152.zoo")
    assert deployment.preprocess.steps == (Resize(256, "bilinear"), CenterCrop(224, 224))
    assert type(deployment.model.weights).__name__ == "RandomWeights"
    text = Path("iresnet152.zoo").read_text()
    assert "https://github.com/iduta/iresnet" in text
    assert "  # Pillow's pixels, as in training: its publisher's code resizes PIL images.\n" in text


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_official_model_has_a_description_that_checks(name):
    assert new(f"official.{name}").exit_code == 0
    assert checked(f"{name}.zoo").model.source.name == name


def test_a_folder_of_images_gives_int8_and_paths_start_at_the_description(working_folder):
    (working_folder / "calibration").mkdir()
    (working_folder / "w.pth").write_bytes(b"")
    arguments = ("--data", "calibration", "--weights", "w.pth", "-o", "deep/er/net.zoo")
    assert new("official.resnest50", *arguments).exit_code == 0
    deployment = checked("deep/er/net.zoo")
    assert deployment.quantize.dtype == "int8"
    assert deployment.quantize.data.folder == working_folder / "calibration"
    assert deployment.model.weights.path == working_folder / "w.pth"


def test_a_file_that_is_there_is_replaced_by_force_only():
    Path("resnest50.zoo").write_text("mine")
    done = new("official.resnest50")
    assert done.exit_code == 1
    assert "Z0226" in done.stderr
    assert "--force" in done.stderr
    assert Path("resnest50.zoo").read_text() == "mine"
    assert new("official.resnest50", "--force").exit_code == 0
    checked("resnest50.zoo")
    assert [p.name for p in Path().iterdir()] == ["resnest50.zoo"]


def test_standard_output_gets_the_text_alone_and_no_file_is_written():
    new("official.resnest50")
    done = new("official.resnest50", "-o", "-")
    assert done.stdout == Path("resnest50.zoo").read_text()
    assert len(list(Path().iterdir())) == 1


def test_json_gives_the_file_and_its_text():
    answer = json.loads(new("official.resnest50", "--format", "json").stdout)
    assert answer == {"ok": True, "file": "resnest50.zoo", "text": Path("resnest50.zoo").read_text()}


@pytest.mark.parametrize(
    ("source", "code", "hint"),
    [
        ("resnest50", "Z0225", "official.resnest50"),
        ("keras.resnest50", "Z0225", "timm.resnest50d"),
        ("timm.", "Z0225", "timm.resnest50d"),
        ("net.onxx", "Z0225", "ends in .onnx, .pt2 or .pt"),
        ("net.onnx", "Z0814", "path of a file that is there"),
        ("onnx(net.onnx)", "Z0814", "path of a file that is there"),
        ('onnx("net.onnx"', "Z0225", "in quotes"),
        ('onnx("net.onnx)', "Z0225", "in quotes"),
        ("onnx()", "Z0225", "in quotes"),
        ('onn("net.onnx")', "Z0225", "`onnx`"),
        ('trch("net.pt2")', "Z0225", "`torch`"),
        ('keras("net.h5")', "Z0225", "onnx(...) or torch(...)"),
        ("official.resnest51", "Z0201", "official.resnest50"),
        ("official.zzz", "Z0201", "iresnet200"),
    ],
)
def test_wrong_sources_are_refused_with_a_way_out(source, code, hint):
    done = new(source)
    assert done.exit_code == 1
    assert f"error[{code}]" in done.stderr
    assert hint in done.stderr
    assert list(Path().iterdir()) == []


def test_a_place_that_cannot_be_written_is_named():
    Path("file").write_text("")
    done = new("official.resnest50", "-o", "file/net.zoo")
    assert done.exit_code == 1
    assert "Z0702" in done.stderr
    Path("folder").mkdir()
    assert "it is a folder" in new("official.resnest50", "-o", "folder", "--force").stderr


def test_a_name_that_is_too_long_is_told_as_such():
    done = new("official.resnest50", "-o", "n" * 300)
    assert done.exit_code == 1
    assert "Z0702" in done.stderr


@pytest.mark.parametrize("word", ["random", "pretrained"])
def test_a_file_named_like_a_kind_of_weights_is_not_read(word, monkeypatch):
    Path(word).write_bytes(b"")
    monkeypatch.setattr(checkpoint, "read_checkpoint", lambda *_: pytest.fail("read"))
    assert new("official.resnest50", "--weights", word).exit_code == 0


def test_weights_are_named_where_the_library_that_reads_them_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    Path("w.safetensors").write_bytes(b"")
    assert new("official.resnest50", "--weights", "w.safetensors").exit_code == 0
    assert checked("resnest50.zoo").model.weights.path == Path("w.safetensors").absolute()


def test_quotes_and_line_breaks_in_paths_do_no_harm():
    folder = Path('a"b\n}')
    folder.mkdir()
    assert new("official.resnest50", "--data", str(folder)).exit_code == 0
    assert checked("resnest50.zoo").quantize.data.folder.name == folder.name


def test_a_model_of_other_classes_gets_no_imagenet_labels():
    preprocess = Preprocess((Resize((90, 100), "bicubic"), CenterCrop(80, 96)), IMAGENET)
    source = ModelSource("timm", "class.x")
    recipe = Recipe(source, "A model.", 80, 96, 3, preprocess, "x.pth", "its own")
    Path("x.zoo").write_text(format_source(describe_recipe(recipe), "x.zoo"))
    assert "Pillow" not in Path("x.zoo").read_text(), "what training resized with is not known"
    deployment = checked("x.zoo")
    assert deployment.heads[0].labels is None
    assert deployment.heads[0].topk == 3
    assert deployment.preprocess.steps == preprocess.steps
    assert (deployment.model.input.height, deployment.model.input.width) == (80, 96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "size", "steps"),
    [
        ("timm.resnet50.a1_in1k", 224, (Resize(235, "bicubic"), CenterCrop(224, 224))),
        (
            "timm.tiny_vit_21m_512.dist_in22k_ft_in1k",
            512,
            (Resize((512, 512), "bicubic"), CenterCrop(512, 512)),
        ),
        ("torchvision.wide_resnet50_2", 224, (Resize(232), CenterCrop(224, 224))),
        ("torchvision.wide_resnet50_2.IMAGENET1K_V1", 224, (Resize(256), CenterCrop(224, 224))),
        ("torchvision.efficientnet_b1", 240, (Resize(255), CenterCrop(240, 240))),
    ],
)
def test_the_librarys_own_configuration_is_written(source, size, steps):
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    done = new(source, "-o", "net.zoo")
    assert done.exit_code == 0, done.stderr
    deployment = checked("net.zoo")
    assert deployment.model.input.height == size
    assert deployment.preprocess.steps == steps
    assert type(deployment.model.weights).__name__ == "PretrainedWeights"
    assert f"{deployment.model.source.kind}.{deployment.model.source.name}" == source
    assert Path("net.zoo").read_text().count("  # Pillow's pixels, as in training: ") == 1


@pytest.mark.slow
def test_every_torchvision_classifier_has_a_recipe():
    pytest.importorskip("torchvision")
    from zooc.networks.torch.models.torchvision import classifiers

    names = classifiers()
    assert {"wide_resnet50_2", "wide_resnet101_2", "vit_b_16"} <= set(names)
    for name in names:
        recipe = find_recipe(ModelSource("torchvision", name))
        assert recipe.classes == 1000
        assert recipe.preprocess.steps[-1] == CenterCrop(recipe.height, recipe.width)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "code", "reason"),
    [
        ("timm.vit_base_patch14_dinov2", "Z0224", "features"),
        ("timm.flexivit_base.300ep_in1k", "Z0224", "cannot write this name"),
        ("timm.resnet50.a1_in1l", "Z0201", "a1_in1k"),
        ("torchvision.resnet5", "Z0201", "torchvision.resnet50"),
        ("torchvision.resnet50.IMAGENET1K_V9", "Z0201", "torchvision.resnet50.IMAGENET1K_V2"),
    ],
)
def test_models_without_a_recipe_are_refused(source, code, reason):
    pytest.importorskip("timm")
    done = new(source)
    assert done.exit_code == 1
    assert code in done.stderr
    assert reason in done.stderr
