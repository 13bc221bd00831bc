from __future__ import annotations

from pathlib import Path

import pytest

from zooc.frontend.semantics.analyze import load_deployment
from zooc.support.torch_hub import hub_folder

DESCRIPTION = "model {{ source timm.resnet18  weights {weights}  input [batch, 3, 64, 64]  classes 10 }}\n"


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """A checkpoint in torch.hub's cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = tmp_path / "torch/hub/checkpoints/net-0123.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    return path


def weights_of(folder: Path, text: str):
    file = folder / "net.zoo"
    file.write_text(DESCRIPTION.format(weights=text))
    deployment, diagnostics = load_deployment(file)
    return deployment and deployment.model.weights.path, [d.code for d in diagnostics]


@pytest.mark.slow
def test_the_folder_is_torchs_own(monkeypatch):
    hub = pytest.importorskip("torch.hub")
    for name, value in (("TORCH_HOME", "/a"), ("XDG_CACHE_HOME", "/b")):
        monkeypatch.setenv(name, value)
        assert str(hub_folder()) == f"{hub.get_dir()}/checkpoints"
        monkeypatch.delenv(name)
    assert str(hub_folder()) == f"{hub.get_dir()}/checkpoints"


def test_a_bare_name_is_found_among_torch_hubs_downloads(tmp_path, downloaded):
    assert weights_of(tmp_path, '"net-0123.pth"') == (downloaded, [])


def test_a_file_beside_the_description_comes_first(tmp_path, downloaded):
    (tmp_path / "net-0123.pth").write_bytes(b"")
    assert weights_of(tmp_path, '"net-0123.pth"') == (tmp_path / "net-0123.pth", [])


def test_a_name_with_a_folder_means_that_folder(tmp_path, downloaded):
    assert weights_of(tmp_path, '"weights/net-0123.pth"') == (None, ["Z0119"])
