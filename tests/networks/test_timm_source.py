from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from zooc.deployment import (
    FileWeights,
    InputShape,
    Model,
    ModelSource,
    PretrainedWeights,
    RandomWeights,
)
from zooc.diagnostics.diagnostic import ZoocError
from zooc.diagnostics.suggest import near_names
from zooc.networks.load import load_network
from zooc.support.cache import Cache

NAME = "test_resnet"
"""timm's own tiny model for tests, 0.5 M parameters."""


def describe(weights=None, *, name=NAME, size=64, classes=10, batch=None):
    shape = InputShape(batch, 3, size, size)
    return Model(ModelSource("timm", name), weights or RandomWeights(0), shape, classes)


def refused(model, cache=None):
    with pytest.raises(ZoocError) as caught:
        load_network(model, cache or Cache(None))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint
    return diagnostic


def run(network, images):
    session = onnxruntime.InferenceSession(
        network.model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": images})[0]


def images(batch, size=64):
    return np.random.default_rng(3).standard_normal((batch, 3, size, size)).astype(np.float32)


def test_near_names_are_close_spellings_then_longer_names():
    known = ["resnet50", "resnest50d", "resnest50d_1s4x24d", "vit_tiny", "wide_resnet50_2"]
    assert near_names("resnest50", known)[0] == "resnest50d"
    assert near_names("vit", known) == ["vit_tiny"]
    assert near_names("zzz", known) == []


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n, *a: None if n == "timm" else found(n, *a))
    diagnostic = refused(describe())
    assert diagnostic.code == "Z0203"
    assert diagnostic.hint == 'pip install "zooc[models]"'
    assert "timm" in diagnostic.message


def test_a_missing_weights_file_is_refused_before_torch_is_imported(tmp_path):
    diagnostic = refused(describe(FileWeights(tmp_path / "absent.pth")))
    assert diagnostic.code == "Z0204"
    assert "absent.pth" in diagnostic.message


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def state():
    """A state dict that fits the model, with weights unlike `random(seed=0)`."""
    pytest.importorskip("timm")
    from zooc.networks.torch.models import timm as timm_model

    return timm_model.create(describe(RandomWeights(5))).module.state_dict()


@pytest.mark.slow
def test_the_export_has_the_promised_form(cache):
    pytest.importorskip("timm")
    network = load_network(describe(), cache)
    graph = network.model.graph
    assert ([i.name for i in graph.input], [o.name for o in graph.output]) == (["input"], ["logits"])
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert (network.origin, network.weights, network.weights_sha256) == (
        "timm.test_resnet",
        "random(seed=0)",
        None,
    )
    assert network.model.opset_import[0].version >= 20
    assert network.model.ir_version == 10
    names = [n.name for n in graph.node if n.op_type == "Conv"]
    assert "layer1.0.conv1/Conv" in names
    assert "layer1.0.conv1.weight" in {t.name for t in graph.initializer}
    content = network.model.SerializeToString()
    assert b"site-packages" not in content
    assert str(Path.home()).encode() not in content
    scores = run(network, images(3))
    assert scores.shape == (3, 10)
    assert np.ptp(scores, axis=1).min() > 0


@pytest.mark.slow
def test_a_second_load_exports_nothing_and_does_without_torch(cache):
    pytest.importorskip("timm")
    first = load_network(describe(), cache)
    code = f"""
import sys
from pathlib import Path
from zooc.support.cache import Cache
from zooc.deployment import *
from zooc.networks.load import load_network
model = Model(ModelSource("timm", "{NAME}"), RandomWeights(0), InputShape(None, 3, 64, 64), 10)
network = load_network(model, Cache(Path({str(cache.root)!r})))
assert "torch" not in sys.modules and "timm" not in sys.modules
print(network.parameters)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert int(done.stdout) == first.parameters


@pytest.mark.slow
def test_exporting_says_nothing_on_the_terminal(capfd, tmp_path):
    pytest.importorskip("timm")
    load_network(describe(size=32), Cache(tmp_path))
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("wrapping", ["plain", "state_dict", "module", "safetensors"])
def test_weights_files_of_every_wrapping_give_the_same_network(tmp_path, state, cache, wrapping):
    import torch
    from safetensors.torch import save_file

    path = tmp_path / ("w.safetensors" if wrapping == "safetensors" else "w.pth")
    if wrapping == "safetensors":
        save_file(state, path)
    elif wrapping == "module":
        torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, path)
    else:
        torch.save({"state_dict": state} if wrapping == "state_dict" else state, path)
    network = load_network(describe(FileWeights(path)), Cache(None))
    expected = load_network(describe(RandomWeights(5)), cache)
    assert network.weights == path.name
    assert len(network.weights_sha256) == 64
    np.testing.assert_array_equal(run(network, images(2)), run(expected, images(2)))


@pytest.mark.slow
def test_keys_that_do_not_fit_are_named(tmp_path, state):
    import torch

    changed = {k: v for k, v in state.items() if k != "conv1.0.weight"}
    changed["stray.weight"] = torch.zeros(1)
    changed["fc.weight"] = torch.zeros(7, state["fc.weight"].shape[1])
    torch.save(changed, tmp_path / "w.pth")
    diagnostic = refused(describe(FileWeights(tmp_path / "w.pth")))
    assert diagnostic.code == "Z0205"
    notes = "\n".join(diagnostic.notes)
    assert "missing in the file: conv1.0.weight" in notes
    assert "not in the model: stray.weight" in notes
    assert f"fc.weight: [7, {state['fc.weight'].shape[1]}] in the file" in notes


@pytest.mark.slow
def test_only_the_first_ten_keys_are_listed(tmp_path, state):
    import torch

    torch.save({"other": torch.zeros(1)}, tmp_path / "w.pth")
    diagnostic = refused(describe(FileWeights(tmp_path / "w.pth")))
    missing = sum(not k.endswith("num_batches_tracked") for k in state)
    assert diagnostic.notes[0].endswith(f"and {missing - 10} more")


class Evil:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"", "empty"),
        (b"\n<!DOCTYPE html><html></html>", "web page"),
        (b"PK\x03\x04truncated", "truncated"),
        (b"nothing of the kind", "checkpoint"),
        (pickle.dumps({"w": Evil()}), "checkpoint"),
    ],
)
def test_files_that_are_no_weights_are_refused(tmp_path, content, note, capfd):
    pytest.importorskip("timm")
    (tmp_path / "w.pth").write_bytes(content)
    diagnostic = refused(describe(FileWeights(tmp_path / "w.pth")))
    assert diagnostic.code == "Z0204"
    assert note in diagnostic.notes[0]
    assert "must not run" not in capfd.readouterr().out


@pytest.mark.slow
def test_a_checkpoint_that_holds_code_is_refused_and_the_code_not_run(tmp_path, capfd):
    torch = pytest.importorskip("torch")
    torch.save({"w": Evil()}, tmp_path / "w.pth")
    capfd.readouterr()
    diagnostic = refused(describe(FileWeights(tmp_path / "w.pth")))
    assert diagnostic.code == "Z0204"
    assert "execute code in the file" in diagnostic.notes[0]
    assert "must not run" not in capfd.readouterr().out


@pytest.mark.slow
def test_damaged_safetensors_and_nan_weights_are_refused(tmp_path, state):
    import torch

    (tmp_path / "w.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{]")
    assert refused(describe(FileWeights(tmp_path / "w.safetensors"))).code == "Z0204"
    torch.save({**state, "fc.bias": torch.full_like(state["fc.bias"], float("nan"))}, tmp_path / "w.pth")
    diagnostic = refused(describe(FileWeights(tmp_path / "w.pth")))
    assert diagnostic.code == "Z0204"
    assert "fc.bias" in diagnostic.notes[0]


@pytest.mark.slow
def test_unknown_models_and_tags_get_near_names():
    pytest.importorskip("timm")
    assert "timm.resnest50d" in refused(describe(name="resnest50")).hint
    tagged = refused(describe(name="resnet50.a1_in1l"))
    assert "timm.resnet50.a1_in1k" in tagged.hint
    assert "no weights named a1_in1l" in tagged.notes[0]


@pytest.mark.slow
def test_a_size_the_model_does_not_take_is_refused_with_timms_reason():
    pytest.importorskip("timm")
    diagnostic = refused(describe(name="vit_tiny_patch16_224", size=192, classes=1000))
    assert diagnostic.code == "Z0207"
    assert "224" in diagnostic.notes[0]


@pytest.mark.slow
def test_published_weights_without_a_network_name_the_file_to_download(monkeypatch, tmp_path):
    pytest.importorskip("timm")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    diagnostic = refused(describe(PretrainedWeights(), name="resnest26d", classes=1000, size=224))
    assert diagnostic.code == "Z0206"
    assert "https://huggingface.co/timm/resnest26d" in diagnostic.hint
    assert "model.safetensors" in diagnostic.hint


@pytest.mark.slow
def test_published_weights_for_other_classes_are_refused():
    pytest.importorskip("timm")
    diagnostic = refused(describe(PretrainedWeights(), name="resnest26d", classes=10))
    assert diagnostic.code == "Z0205"
    assert "1000 classes" in diagnostic.message
