"""`source torch("...")`: exported programs and TorchScript become the network that torch runs."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc.deployment import InputShape, Model, ModelSource, OutputName
from zooc.diagnostics.diagnostic import ZoocError
from zooc.networks.file_kind import file_kind
from zooc.networks.load import load_network
from zooc.networks.network import Network
from zooc.networks.onnx_file.run_once import close, example_input, run
from zooc.support.cache import Cache

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

from zooc.networks.torch.program.open_here import guess_here, open_here  # noqa: E402 - it needs torch

SIDE, CLASSES = 16, 5


class Small(torch.nn.Module):
    """A classifier in which every kind of layer that matters here occurs."""

    def __init__(self, *, channels: int = 3, fixed: bool = False, last: bool = False) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(channels, 8, 3, stride=2)
        self.norm = torch.nn.BatchNorm2d(8)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(8, CLASSES)
        self.fixed, self.last = fixed, last

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        planes = image.permute(0, 3, 1, 2) if self.last else image
        row = torch.relu(self.norm(self.conv(planes))).mean((2, 3))
        row = row.reshape(1, 8) if self.fixed else row
        return self.head(self.drop(row))


class Two(Small):
    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        row = torch.relu(self.conv(image)).mean((2, 3))
        return {"features": row, "logits": self.head(row)}


def trained(module: Any) -> Any:
    """A module whose weights are none of the constructor's round values."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in (*module.parameters(), module.norm.running_mean):
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    return module.eval()


def example(batch: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.from_numpy(example_input(batch, channels, SIDE, SIDE))


def save_pt2(module: Any, path: Path, image: Any, *, free: tuple[int, ...] = ()) -> None:
    names = ("batch", "channels", "height", "width")
    dims = ({i: torch.export.Dim(names[i], min=8 if i else 1, max=512) for i in free},) if free else None
    torch.export.save(torch.export.export(module, (image,), dynamic_shapes=dims), path)


def save_script(module: Any, path: Path, image: Any) -> None:
    torch.jit.script(module).save(path)


def save_trace(module: Any, path: Path, image: Any) -> None:
    torch.jit.trace(module, image, strict=False, check_trace=False).save(path)


SAVES: dict[str, Callable[[Any, Path, Any], None]] = {
    "net.pt2": save_pt2,
    "script.pt": save_script,
    "trace.pt": save_trace,
}


def block(path: Path, shape: InputShape | None = None, **more: Any) -> Model:
    return Model(ModelSource("torch", str(path)), None, shape, None, **more)


def size(channels: int = 3, batch: int | None = None) -> InputShape:
    return InputShape(batch, channels, SIDE, SIDE)


def opened(path: Path, shape: InputShape | None = None, **more: Any) -> Network:
    return open_here(block(path, shape, **more), lambda _: None)


def same(network: Network, module: Any, images: torch.Tensor, given: torch.Tensor | None = None) -> None:
    with torch.no_grad():
        expected = module(images if given is None else given)
    expected = expected["logits"] if isinstance(expected, dict) else expected
    assert close(expected.numpy(), run(network.model, images.numpy())) is None


def refused(path: Path, code: str, shape: InputShape | None = None, **more: Any) -> Any:
    with pytest.raises(ZoocError) as caught:
        opened(path, shape, **more)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code, diagnostic
    assert diagnostic.hint
    return diagnostic


@pytest.mark.parametrize("file", SAVES)
def test_the_network_is_the_one_that_torch_runs_at_any_batch(file: str, tmp_path: Path) -> None:
    module = trained(Small())
    SAVES[file](module, tmp_path / file, example())
    network = opened(tmp_path / file, size())
    assert (network.origin, network.weights) == (f'torch("{file}")', "in the file")
    assert (network.classes, network.batch, network.height) == (CLASSES, None, SIDE)
    for batch in (1, 3):
        same(network, module, example(batch))


def test_layers_go_by_their_modules_names(tmp_path: Path) -> None:
    for file, save in SAVES.items():
        save(trained(Small()), tmp_path / file, example())
        names = [node.name for node in opened(tmp_path / file, size()).model.graph.node]
        assert {"conv/Conv", "head/Gemm"} <= set(names), (file, names)


def test_an_exported_program_brings_its_size_along(tmp_path: Path) -> None:
    save_pt2(trained(Small()), tmp_path / "net.pt2", example())
    assert (opened(tmp_path / "net.pt2").height, opened(tmp_path / "net.pt2").width) == (SIDE, SIDE)
    save_pt2(trained(Small()), tmp_path / "free.pt2", example(2), free=(0, 2, 3))
    assert opened(tmp_path / "free.pt2").height == SIDE
    assert opened(tmp_path / "free.pt2", InputShape(None, 3, 24, 20)).width == 20


def test_a_size_that_is_not_the_files_is_refused(tmp_path: Path) -> None:
    save_pt2(trained(Small()), tmp_path / "net.pt2", example())
    assert f"takes {SIDE}" in refused(tmp_path / "net.pt2", "Z0215", InputShape(None, 3, 24, 24)).message
    save_script(trained(Small()), tmp_path / "net.pt", example())
    assert refused(tmp_path / "net.pt", "Z0207", InputShape(None, 4, 24, 24)).notes


def test_a_script_needs_a_size(tmp_path: Path) -> None:
    save_script(trained(Small()), tmp_path / "net.pt", example())
    assert "input [batch, 3, 224, 224]" in refused(tmp_path / "net.pt", "Z0232").hint


@pytest.mark.parametrize("file", SAVES)
def test_a_batch_that_the_program_fixes_is_freed_where_reshapes_alone_do(file: str, tmp_path: Path) -> None:
    module = trained(Small(fixed=True))
    SAVES[file](module, tmp_path / file, example())
    network = opened(tmp_path / file, size())
    assert network.batch is None
    with torch.no_grad():
        rows = [module(image[None]).numpy() for image in example(3)]
    assert close(np.concatenate(rows), run(network.model, example(3).numpy())) is None


@pytest.mark.parametrize("file", ["net.pt2", "trace.pt"])
def test_channels_may_be_last(file: str, tmp_path: Path) -> None:
    module, images = trained(Small(last=True)), example(2)
    last = images.permute(0, 2, 3, 1).contiguous()
    SAVES[file](module, tmp_path / file, last[:1])
    same(opened(tmp_path / file, size(), layout="nhwc"), module, images, last)


@pytest.mark.parametrize("file", ["net.pt2", "trace.pt"])
def test_one_of_several_outputs_goes_by_its_key(file: str, tmp_path: Path) -> None:
    module = trained(Two())
    SAVES[file](module, tmp_path / file, example())
    assert "features" in refused(tmp_path / file, "Z0214", size()).notes[0]
    network = opened(tmp_path / file, size(), outputs=(OutputName("logits"),))
    same(network, module, example(2))
    assert (
        'no output "logit"'
        in refused(tmp_path / file, "Z0214", size(), outputs=(OutputName("logit"),)).message
    )


@pytest.mark.parametrize("file", ["net.pt2", "trace.pt"])
def test_a_program_in_training_mode_is_refused(file: str, tmp_path: Path) -> None:
    module = trained(Small()).train()
    SAVES[file](module, tmp_path / file, example(2))
    assert "eval()" in refused(tmp_path / file, "Z0233", size(batch=2)).hint


def test_an_input_that_is_no_image_is_refused(tmp_path: Path) -> None:
    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(8, CLASSES)

        def forward(self, row: torch.Tensor) -> torch.Tensor:
            return self.head(row)

    save_pt2(Rows().eval(), tmp_path / "net.pt2", torch.ones(1, 8))
    refused(tmp_path / "net.pt2", "Z0213")


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    module = trained(Small())
    save_pt2(module.half(), tmp_path / "net.pt2", example().half())
    network = opened(tmp_path / "net.pt2")
    expected = module.float()(example()).detach().numpy()
    assert close(expected, run(network.model, example().numpy()), 2e-2) is None


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"", "Z0229", "empty"),
        (b"<!DOCTYPE html>", "Z0229", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Z0229", "git lfs pull"),
        (b"hello", "Z0229", "neither"),
        (pickle.dumps({}), "Z0229", "weights alone"),
        ({"a.txt": b"x"}, "Z0229", "another kind"),
        ({"net/data/aotinductor/model/a.so": b"x", "net/archive_format": b"pt2"}, "Z0229", "AOTInductor"),
        ({"net/models/model.json": b"{}"}, "Z0229", "cannot load it"),
        ({"net/constants.pkl": b"", "net/code/a.py": b""}, "Z0229", "cannot load it"),
    ],
)
def test_other_files_are_named_for_what_they_are(content: Any, code: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    if isinstance(content, dict):
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    else:
        path.write_bytes(content)
    with pytest.raises(ZoocError) as caught:
        load_network(block(path, size()), Cache(None))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert said in " ".join([diagnostic.message, *diagnostic.notes, diagnostic.hint])


@pytest.mark.parametrize("file", SAVES)
def test_truncated_and_damaged_programs_are_refused(file: str, tmp_path: Path) -> None:
    SAVES[file](trained(Small()), tmp_path / file, example())
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: len(content) // 2])
    with pytest.raises(ZoocError) as caught:
        load_network(block(tmp_path / file, size()), Cache(None))
    assert caught.value.diagnostics[0].code == "Z0229"
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(tmp_path / file, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"" if name.endswith((".json", ".pkl", ".py")) else old.read(name))
    refused(tmp_path / file, "Z0229", size())


def test_a_checkpoint_asks_for_its_architecture(tmp_path: Path) -> None:
    torch.save(trained(Small()).state_dict(), tmp_path / "mine.pth")
    with pytest.raises(ZoocError) as caught:
        load_network(block(tmp_path / "mine.pth"), Cache(None))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "Z0230"
    assert 'weights "mine.pth"' in diagnostic.hint


def test_pickled_objects_in_a_program_are_not_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    save_pt2(trained(Small()), tmp_path / "net.pt2", example())
    content = (tmp_path / "net.pt2").read_bytes()
    inputs = io.BytesIO()
    torch.save(((Trap(),), {}), inputs)
    with zipfile.ZipFile(io.BytesIO(content)) as old:
        lists = [n for n in old.namelist() if n.endswith("constants_config.json")]
        parts = {name: old.read(name) for name in old.namelist()}
    opaque = {"config": {"x": {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False}}}
    traps = {
        "Z0229": {next(n for n in parts if "sample_inputs" in n): inputs.getvalue()},
        "Z0234": {lists[0]: json.dumps(opaque).encode()},
    }
    for code, changed in traps.items():
        with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
            for name, data in {**parts, **changed}.items():
                archive.writestr(name, data)
        refused(tmp_path / "net.pt2", code)
    assert not (tmp_path / "ran").exists()


def test_the_cache_holds_the_export_for_as_long_as_the_file_is_the_same(tmp_path: Path) -> None:
    cache, steps = Cache(tmp_path / "cache"), []
    for channels in (3, 3, 1):
        save_script(trained(Small(channels=channels)), tmp_path / "net.pt", example(1, channels))
        load_network(block(tmp_path / "net.pt", size(channels)), cache, on_progress=steps.append)
    assert [step.startswith(("importing", "network found")) for step in steps].count(True) == 3
    assert sum(step.startswith("network found") for step in steps) == 1


def test_what_new_writes_is_guessed_from_the_program(tmp_path: Path) -> None:
    save_pt2(trained(Two()), tmp_path / "net.pt2", example(2), free=(0, 2, 3))
    guess, network = guess_here(block(tmp_path / "net.pt2"), lambda _: None)
    assert (network.height, guess.size_open, guess.model.outputs) == (SIDE, True, (OutputName("logits"),))
    save_script(trained(Small(channels=1)), tmp_path / "net.pt", example(1, 1))
    guess, network = guess_here(block(tmp_path / "net.pt"), lambda _: None)
    assert (network.channels, network.height, guess.size_open) == (1, 224, True)


def test_kinds_of_files_are_told_without_torch(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for file, save in SAVES.items():
            save(trained(Small()), tmp_path / file, example())
    torch.save(trained(Small()).state_dict(), tmp_path / "mine.pth")
    kinds = {name: file_kind(tmp_path / name) for name in (*SAVES, "mine.pth", "none.pt", "a.onnx")}
    assert kinds == {
        "net.pt2": "exported",
        "script.pt": "torchscript",
        "trace.pt": "torchscript",
        "mine.pth": "checkpoint",
        "none.pt": "other",
        "a.onnx": "onnx",
    }
