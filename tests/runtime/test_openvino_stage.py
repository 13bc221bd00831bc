"""The OpenVINO engine: settings as properties, and the compiled network kept in the cache folder."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.inference import engines
from zooc_runtime.inference.engines import OpenVinoStage, open_body
from zooc_runtime.inference.placement import Placement
from zooc_runtime.inference.settings import Settings


class FakeNetwork:
    """A network of any batch, told by its content what it was reshaped to."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.inputs = [SimpleNamespace(partial_shape=[-1, 3, 8, 8])]

    def reshape(self, shape: list[int]) -> None:
        self.content += f" for {shape}".encode()


class FakeOpenVino(SimpleNamespace):
    """OpenVINO's interface as far as it is used; `log` tells what was compiled and imported."""

    def __init__(self) -> None:
        f32 = SimpleNamespace(to_dtype=lambda: self.set_up.append("numpy"))
        super().__init__(
            __version__="2.0",
            log=[],
            set_up=[],
            Type=SimpleNamespace(f32=f32),
            devices=["CPU"],
            refusal="",
        )

    def Core(self) -> Any:
        def compiled(verb: str, content: bytes, properties: dict[str, Any], device: str) -> SimpleNamespace:
            if self.refusal:
                raise RuntimeError(self.refusal)
            self.log.append((verb, content, properties))
            return SimpleNamespace(
                export_model=lambda: io.BytesIO(b"compiled " + content),
                get_property=lambda name: {"EXECUTION_DEVICES": [f"real {device}"]}[name],
            )

        return SimpleNamespace(
            available_devices=self.devices,
            read_model=lambda model, weights: FakeNetwork(model),
            compile_model=lambda network, device, properties: compiled(
                "compile", network.content, properties, device
            ),
            import_model=lambda blob, device, properties: compiled("import", blob, properties, device),
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeOpenVino:
    module = FakeOpenVino()
    monkeypatch.setitem(sys.modules, "openvino", module)
    return module


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_streams_and_threads_are_set_and_float_layers_stay_float(fake: FakeOpenVino) -> None:
    OpenVinoStage(b"model", 2, 3, single=False)
    (_, _, properties), *_ = fake.log
    assert properties == {
        "NUM_STREAMS": 2,
        "INFERENCE_NUM_THREADS": 6,
        "INFERENCE_PRECISION_HINT": "f32",
    }


def test_the_binding_is_set_up_before_threads_use_it(fake: FakeOpenVino) -> None:
    OpenVinoStage(b"model", 2, 1, single=False)
    assert fake.set_up == ["numpy"]


def test_a_network_is_compiled_once_whatever_the_streams(fake: FakeOpenVino) -> None:
    OpenVinoStage(b"model", 1, 4, single=False)
    OpenVinoStage(b"model", 4, 1, single=False)
    OpenVinoStage(b"another", 4, 1, single=False)
    assert [entry[:2] for entry in fake.log] == [
        ("compile", b"model"),
        ("import", b"compiled model"),
        ("compile", b"another"),
    ]


def test_single_images_have_a_network_of_their_own(fake: FakeOpenVino) -> None:
    for single in (False, True, True):
        OpenVinoStage(b"model", 1, 1, single=single)
    assert [entry[:2] for entry in fake.log] == [
        ("compile", b"model"),
        ("compile", b"model for [1, 3, 8, 8]"),
        ("import", b"compiled model for [1, 3, 8, 8]"),
    ]


def test_a_body_is_compiled_and_cached_in_the_form_that_openvino_fuses(
    fake: FakeOpenVino, monkeypatch: pytest.MonkeyPatch
) -> None:
    for form in (b"one", b"one", b"another"):
        monkeypatch.setattr(engines, "fuse_activations", lambda model, form=form: model + b", " + form)
        open_body(b"model", Settings("openvino", 1, 1, 8))
    assert [entry[:2] for entry in fake.log] == [
        ("compile", b"model, one"),
        ("import", b"compiled model, one"),
        ("compile", b"model, another"),
    ]


@pytest.mark.parametrize("device", ["GPU", "AUTO:CPU"])
def test_other_devices_take_a_body_as_it_is_written(
    fake: FakeOpenVino, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    fake.devices = ["CPU", "GPU"]
    monkeypatch.delattr(engines, "fuse_activations")
    open_body(b"model", Settings("openvino", 1, 1, 8, Placement(device=device)))
    assert [entry[1] for entry in fake.log] == [b"model"]


def _damage(cache: Path, fake: FakeOpenVino) -> None:
    for path in cache.glob("openvino/*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")


def _update(cache: Path, fake: FakeOpenVino) -> None:
    fake.__version__ = "2.1"


@pytest.mark.parametrize("change", [_damage, _update])
def test_a_damaged_entry_or_another_versions_is_compiled_again(
    fake: FakeOpenVino, cache: Path, change: Callable[[Path, FakeOpenVino], None]
) -> None:
    OpenVinoStage(b"model", 1, 1, single=False)
    change(cache, fake)
    OpenVinoStage(b"model", 1, 1, single=False)
    OpenVinoStage(b"model", 1, 1, single=False)
    assert [entry[0] for entry in fake.log] == ["compile", "compile", "import"]


def test_a_cache_that_cannot_be_written_is_done_without(fake: FakeOpenVino, cache: Path) -> None:
    cache.write_text("a file")
    OpenVinoStage(b"model", 1, 1, single=False)
    OpenVinoStage(b"model", 1, 1, single=False)
    assert [entry[0] for entry in fake.log] == ["compile", "compile"]


@pytest.mark.slow
def test_an_imported_network_gives_the_bits_of_the_compiled_one(package: Path, cache: Path) -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    first = open_package(package, "openvino", threads=1).run_tensor(pixels)
    assert list(cache.glob("openvino/*"))
    again = open_package(package, "openvino", threads=1, streams=2).run_tensor(pixels)
    np.testing.assert_array_equal(first, again)
    one_by_one = open_package(package, "openvino", hint="latency").run_tensor(pixels)
    np.testing.assert_allclose(first, one_by_one, rtol=1e-5)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("GPU", {"NUM_STREAMS": 2, "INFERENCE_PRECISION_HINT": "f32"}),
        ("GPU.1", {"NUM_STREAMS": 2, "INFERENCE_PRECISION_HINT": "f32"}),
        ("AUTO:GPU,CPU", {"NUM_STREAMS": 2, "INFERENCE_PRECISION_HINT": "f32"}),
        ("NPU", {}),
    ],
)
def test_a_device_is_told_what_it_knows_and_its_network_is_not_cached(
    fake: FakeOpenVino, cache: Path, device: str, expected: dict[str, Any]
) -> None:
    fake.devices = ["CPU", "GPU.0", "GPU.1", "NPU"]
    stage = OpenVinoStage(b"model", 2, 3, single=False, device=device)
    content = b"model for [1, 3, 8, 8]" if device == "NPU" else b"model"  # an NPU takes fixed shapes
    assert fake.log == [("compile", content, expected)]
    assert stage.runs_on == {f"real {device}": None}
    assert not list(cache.glob("openvino/*"))


@pytest.mark.parametrize("device", ["NPU", "GPU.2", "AUTO:NPU,CPU", "HETERO:GPU.2"])
def test_an_absent_device_is_an_error_that_lists_those_there(fake: FakeOpenVino, device: str) -> None:
    fake.devices = ["CPU", "GPU.0", "GPU.1"]
    with pytest.raises(
        PackageError, match=r"finds no device (NPU|GPU\.2) here; available are CPU, GPU\.0, GPU\.1"
    ):
        OpenVinoStage(b"model", 1, 1, single=False, device=device)


def test_what_a_device_refuses_names_the_device(fake: FakeOpenVino, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.devices = ["CPU", "NPU"]
    monkeypatch.setattr(fake, "refusal", "no such layer")
    with pytest.raises(PackageError, match=r'on NPU \(no such layer\); use device="CPU"'):
        OpenVinoStage(b"model", 1, 1, single=False, device="NPU")


@pytest.mark.slow
def test_auto_gives_what_the_cpu_gives(package: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    if openvino.Core().available_devices != ["CPU"]:
        pytest.skip("AUTO takes another device here")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)
    model = open_package(package, device="auto")
    assert (model.engine, model.runs_on) == ("openvino", {"CPU": None})
    expected = open_package(package, "openvino").run_tensor(pixels)
    np.testing.assert_allclose(model.run_tensor(pixels), expected, rtol=1e-5)
    with pytest.raises(PackageError, match="finds no device NPU here; available are CPU"):
        open_package(package, device="NPU")


def test_what_is_only_tried_is_not_kept(fake: FakeOpenVino, cache: Path) -> None:
    OpenVinoStage(b"model", 1, 1, single=False, keep=False)
    assert [what for what, *_ in fake.log] == ["compile"]
    assert not cache.exists()
