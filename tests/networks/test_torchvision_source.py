from __future__ import annotations

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
from zooc.networks.load import load_network
from zooc.support.cache import Cache

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

pytestmark = pytest.mark.slow


def describe(name, weights=None, *, size=64, classes=1000, channels=3):
    shape = InputShape(None, channels, size, size)
    return Model(ModelSource("torchvision", name), weights or RandomWeights(0), shape, classes)


def create(model):
    from zooc.networks.torch.models import torchvision as torchvision_model

    return torchvision_model.create(model)


def refused(model):
    with pytest.raises(ZoocError) as caught:
        create(model)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint
    return diagnostic


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """torch.hub's folder of downloads, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_every_classifier_is_created_and_gives_scores_at_its_own_size(monkeypatch):
    from zooc.networks.recipes.find import find_recipe
    from zooc.networks.torch.models.torchvision import classifiers

    monkeypatch.setattr("zooc.networks.torch.load_weights.fill_randomly", lambda _module, _seed: None)
    # RegNets compute their widths with tensors: they cannot be made without numbers, so one must do.
    names = [name for name in classifiers() if not name.startswith("regnet_")]
    assert len(names) > 60
    for name in names:
        size = find_recipe(ModelSource("torchvision", name)).height
        with torch.device("meta"), torch.no_grad():
            scores = create(describe(name, size=size, classes=7)).module(torch.zeros(2, 3, size, size))
        assert scores.shape == (2, 7), name
    assert create(describe("regnet_x_400mf", size=32, classes=7)).module(torch.zeros(2, 3, 32, 32)).shape == (
        2,
        7,
    )


def test_the_export_is_torchs_network_under_its_own_names():
    network = load_network(describe("shufflenet_v2_x0_5", classes=10), Cache(None))
    assert (network.origin, network.classes) == ("torchvision.shufflenet_v2_x0_5", 10)
    assert "stage2.0.branch2.0/Conv" in {node.name for node in network.model.graph.node}


def test_published_weights_come_from_torch_hubs_cache_without_a_network(checkpoints):
    entry = torchvision.models.get_model_weights("squeezenet1_1").DEFAULT
    state = torchvision.models.squeezenet1_1().state_dict()
    torch.save(state, checkpoints / entry.url.rsplit("/", 1)[-1])
    created = create(describe("squeezenet1_1", PretrainedWeights()))
    assert created.weights == "pretrained"
    assert len(created.weights_sha256) == 64
    assert all(torch.equal(value, state[key]) for key, value in created.module.state_dict().items())


def test_published_weights_without_a_network_name_the_file_to_download(checkpoints, monkeypatch):
    def no_network(*_args, **_kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr("socket.create_connection", no_network)
    for scheme in ("http", "https", "all"):
        monkeypatch.delenv(f"{scheme}_proxy", raising=False)
        monkeypatch.delenv(f"{scheme.upper()}_PROXY", raising=False)
    diagnostic = refused(describe("wide_resnet50_2.IMAGENET1K_V1", PretrainedWeights()))
    assert diagnostic.code == "Z0206"
    assert "https://download.pytorch.org/models/wide_resnet50_2-95faca4d.pth" in diagnostic.hint


def test_published_weights_for_other_classes_are_refused():
    assert refused(describe("resnet18", PretrainedWeights(), classes=10)).code == "Z0205"


def test_densenets_published_names_are_translated(tmp_path):
    import re

    state = torchvision.models.densenet121(num_classes=10).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): v for key, v in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "w.pth")
    created = create(describe("densenet121", FileWeights(tmp_path / "w.pth"), classes=10))
    assert all(torch.equal(value, state[key]) for key, value in created.module.state_dict().items())


@pytest.mark.parametrize("auxiliary", [True, False])
def test_heads_that_only_training_uses_are_dropped(tmp_path, auxiliary):
    make = torchvision.models.googlenet
    state = make(num_classes=10, aux_logits=auxiliary, init_weights=False).state_dict()
    torch.save(state, tmp_path / "w.pth")
    module = create(describe("googlenet", FileWeights(tmp_path / "w.pth"), classes=10)).module
    assert not any(key.startswith("aux") for key in module.state_dict())
    assert module.transform_input


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("wide_resnet50", "torchvision.wide_resnet50_2"),
        ("resnet50.IMAGENET1K", "torchvision.resnet50.IMAGENET1K_V2"),
    ],
)
def test_unknown_names_and_tags_get_near_names(name, near):
    diagnostic = refused(describe(name))
    assert diagnostic.code == "Z0201"
    assert near in diagnostic.hint


def test_other_channels_are_refused():
    assert refused(describe("resnet18", channels=1)).code == "Z0207"


def test_a_model_beyond_two_gigabytes_is_refused_before_the_export():
    from zooc.networks.torch.export import export_module

    with torch.device("meta"):
        module = torchvision.models.get_model("vit_h_14", image_size=518).eval()
    with pytest.raises(ZoocError) as caught:
        export_module(
            module,
            "torchvision.vit_h_14",
            InputShape(None, 3, 224, 224),
            1000,
            weights="none",
            weights_sha256=None,
            span=None,
            on_progress=lambda _: None,
        )
    assert caught.value.diagnostics[0].code == "Z0209"
