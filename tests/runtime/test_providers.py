"""Execution providers: those that are here run, and those that are not are an error, never a silent CPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.commands.main import main
from zooc_runtime.inference import sessions
from zooc_runtime.inference.placement import Placement, Provider, read_placement
from zooc_runtime.inference.sessions import open_session
from zooc_runtime.inference.settings import default_settings

CPU, CUDA, TRT, QNN = (f"{name}ExecutionProvider" for name in ("CPU", "CUDA", "Tensorrt", "QNN"))
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8)


class FakeOptions:
    """Session options, as far as they are set."""

    def __init__(self) -> None:
        self.config: dict[str, str] = {}
        self.providers: list[tuple[str, dict[str, str]]] = []
        self.enable_mem_pattern = True

    def add_session_config_entry(self, key: str, value: str) -> None:
        self.config[key] = value

    def add_provider(self, name: str, settings: dict[str, str]) -> None:
        self.providers.append((name, settings))

    def add_provider_for_devices(self, devices: Sequence[Any], settings: dict[str, str]) -> None:
        self.providers.append((f"{devices[0].ep_name} on {devices[0].device.type.name}", settings))


class FakeRuntime:
    """ONNX Runtime on another machine.

    Args:
        available: the providers that it was built with.
        broken: those that fail to start, and what the log says of it.
        takes: how many of ten nodes a provider takes; all by default.
        plugins: providers that appear when their library is registered, with their devices.
    """

    __version__ = "9.9"

    def __init__(
        self,
        *available: str,
        broken: dict[str, str] | None = None,
        takes: dict[str, int] | None = None,
        plugins: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.available = [*available, CPU]
        self.broken = broken or {}
        self.takes = takes or {}
        self.plugins = plugins or {}
        self.devices: list[Any] = []
        self.opened: list[Any] = []
        self.preloaded = 0

    def get_available_providers(self) -> list[str]:
        return self.available

    def get_ep_devices(self) -> list[Any]:
        return self.devices

    def register_execution_provider_library(self, name: str, path: str) -> None:
        assert path == "plugin.so"
        self.available.append(name)
        self.devices += [
            SimpleNamespace(ep_name=name, device=SimpleNamespace(type=SimpleNamespace(name=kind)))
            for kind in self.plugins[name]
        ]

    def preload_dlls(self) -> None:
        self.preloaded += 1
        print("Failed to load libcudnn.so.9")  # as onnxruntime does

    def InferenceSession(
        self, model: bytes, options: FakeOptions, providers: Any, enable_fallback: int
    ) -> SimpleNamespace:
        assert enable_fallback == 0
        self.opened.append(options)
        names = [name for name, _ in providers or options.providers]
        if any("refuses" in self.broken.get(name, "") for name in names):
            raise RuntimeError("an operator is not known; CPUExecutionProvider is not asked")
        started = [name for name in names if name not in self.broken]
        for name in set(names) - set(started):
            place = "\x1b[1;31m2026-01-01 [E:onnxruntime:Default, x.cc:1 Get] a.cc:2 Get()"
            os.write(2, f"{place} FAIL : {self.broken[name]}\n".encode())
        taken = max([self.takes.get(name.split()[0], 10) for name in started if name != CPU], default=0)
        if taken < 10 and "session.disable_cpu_ep_fallback" in options.config:
            raise RuntimeError(
                "nodes on CPU, but fallback to CPU EP has been explicitly disabled by the user."
            )
        parts = [
            SimpleNamespace(ep_name=name, get_nodes=lambda n=n: [SimpleNamespace(op_type="Relu")] * n)
            for name, n in ((started[0] if taken else "", taken), (CPU, 10 - taken))
            if n
        ]
        return SimpleNamespace(
            providers=providers or options.providers,
            get_providers=lambda: [*dict.fromkeys([*(name.split()[0] for name in started), CPU])],
            get_provider_graph_assignment_info=lambda: parts,
        )


def _open(runtime: FakeRuntime, *providers: Any, fallback: bool = False) -> Any:
    _, placement = read_placement("onnxruntime", list(providers), fallback=fallback)
    return open_session(runtime, b"model", FakeOptions, placement)


def test_a_provider_gets_its_options_and_float32_where_it_has_something_faster() -> None:
    runtime = FakeRuntime(CUDA)
    session = _open(runtime, ("cuda", {"device_id": 1}), "cpu")
    assert session.providers == [(CUDA, {"use_tf32": "0", "device_id": "1"}), (CPU, {})]
    assert _open(runtime, ("cuda", {"use_tf32": 1})).providers == [(CUDA, {"use_tf32": "1"})]


def test_nvidias_libraries_are_looked_for_in_its_packages_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runtime = FakeRuntime(CUDA)
    _open(runtime, "cuda")
    assert (runtime.preloaded, capsys.readouterr().out) == (1, "")


@pytest.mark.parametrize(
    ("provider", "remedy"),
    [
        ("cuda", "pip uninstall onnxruntime, then pip install onnxruntime-gpu"),
        ("tensorrt", "pip install onnxruntime-gpu"),
        ("directml", "pip install onnxruntime-directml"),
        ("coreml", "it is in onnxruntime on macOS"),
        ("qnn", " pip install onnxruntime-qnn"),
        ("openvino", " pip install onnxruntime-ep-openvino"),
        ("xnnpack", "install an onnxruntime that was built with it"),
        ("azure", "pip install --upgrade onnxruntime"),
        ("NewExecutionProvider", "install an onnxruntime that was built with it"),
    ],
)
def test_what_is_not_installed_is_named_with_its_package(provider: str, remedy: str) -> None:
    with pytest.raises(
        PackageError, match=rf"ExecutionProvider is not in .* 9\.9, which has {CPU};.*{remedy}"
    ):
        _open(FakeRuntime(), provider, "cpu")


@pytest.mark.parametrize("more", [[], ["cpu"]])
def test_a_provider_that_fails_to_start_is_an_error_with_the_reason_from_the_log(
    more: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    runtime = FakeRuntime(CUDA, broken={CUDA: "libcublas.so.13: cannot open shared object file"})
    with pytest.raises(PackageError, match=rf"^{CUDA} cannot be started \(libcublas\.so\.13: cannot open"):
        _open(runtime, "cuda", *more)
    assert capfd.readouterr().err == ""


def test_a_provider_that_refuses_the_network_is_blamed_and_not_the_cpu() -> None:
    runtime = FakeRuntime(CUDA, broken={CUDA: "refuses"})
    with pytest.raises(PackageError, match=rf"^{CUDA} cannot load the network \(an operator is not known"):
        _open(runtime, "cuda", "cpu")
    with pytest.warns(RuntimeWarning, match=f"{CUDA} cannot load the network"):
        assert _open(runtime, "cuda", fallback=True).providers == [(CPU, {})]


def test_nodes_that_no_provider_takes_are_an_error_unless_the_cpu_is_listed() -> None:
    runtime = FakeRuntime(CUDA, takes={CUDA: 7})
    with pytest.raises(PackageError, match=rf'{CUDA} leaves 3 of 10 nodes to the CPU \(Relu\); add "{CPU}"'):
        _open(runtime, "cuda")
    assert sessions.nodes_by_provider(_open(runtime, "cuda", "cpu")) == {CUDA: 7, CPU: 3}


def test_a_provider_that_takes_nothing_is_warned_of() -> None:
    with pytest.warns(RuntimeWarning, match=f"{CUDA} takes no node of the network"):
        _open(FakeRuntime(CUDA, takes={CUDA: 0}), "cuda", "cpu")


def test_with_fallback_what_cannot_be_had_is_left_out_with_a_warning() -> None:
    runtime = FakeRuntime(CUDA, broken={CUDA: "no driver"})
    with pytest.warns(RuntimeWarning) as warned:
        session = _open(runtime, "tensorrt", "cuda", fallback=True)
    assert session.providers == [(CPU, {})]
    missing, broken = (str(one.message) for one in warned)
    assert missing.startswith(f"{TRT} is not in")
    assert broken == f"{CUDA} cannot be started (no driver); it is left out"


def test_a_plugin_is_registered_and_gets_the_device_that_is_most_an_accelerator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = SimpleNamespace(get_library_path=lambda: "plugin.so", __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", module)
    runtime = FakeRuntime(plugins={QNN: ("CPU", "NPU")})
    first = _open(runtime, ("qnn", {"htp_performance_mode": "burst"}), "cpu")
    assert first.providers == [(f"{QNN} on NPU", {"htp_performance_mode": "burst"}), (CPU, {})]
    assert _open(runtime, ("qnn", {"device_type": "cpu"})).providers == [(f"{QNN} on CPU", {})]
    with pytest.raises(PackageError, match=rf"{QNN} .*no device of device_type gpu; there are CPU, NPU"):
        _open(runtime, ("qnn", {"device_type": "gpu"}))


def test_a_plugin_that_does_not_load_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError("no plugin.so")

    module = SimpleNamespace(get_library_path=missing, __spec__=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", module)
    with pytest.raises(PackageError, match=r"cannot load onnxruntime_qnn \(no plugin\.so\)"):
        _open(FakeRuntime(), "qnn")


def test_directml_runs_one_request_at_a_time_without_memory_patterns() -> None:
    runtime = FakeRuntime("DmlExecutionProvider")
    _open(runtime, "dml")
    assert runtime.opened[0].enable_mem_pattern is False


# With ONNX Runtime as it is here.


def test_the_cpus_provider_gives_the_bits_of_the_default(package: Path) -> None:
    model = open_package(package, providers=[(CPU, {"arena_extend_strategy": "kSameAsRequested"})])
    assert model.runs_on == {CPU: 6}
    assert model.info["runs_on"] == {CPU: 6}
    np.testing.assert_array_equal(
        model.run_tensor(PIXELS), open_package(package, "onnxruntime").run_tensor(PIXELS)
    )


def test_a_provider_that_is_not_here_is_an_error_and_with_fallback_a_warning(package: Path) -> None:
    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("CUDA is here")
    with pytest.raises(PackageError, match=f"{CUDA} is not in the installed onnxruntime"):
        open_package(package, providers=["cuda", "cpu"])
    with pytest.warns(RuntimeWarning, match="it is left out"):
        assert open_package(package, providers=["cuda"], fallback=True).runs_on == {CPU: 6}


@pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(),
    reason="needs a provider that takes nothing",
)
def test_a_provider_that_takes_nothing_leaves_all_nodes(package: Path) -> None:
    with pytest.raises(PackageError, match=r"leaves 6 of 6 nodes to the CPU .*Conv"):
        open_package(package, providers=["azure"])
    with pytest.warns(RuntimeWarning, match="takes no node"):
        open_package(package, providers=["azure", "cpu"])


@pytest.mark.parametrize("tensor", [False, True])
def test_a_provider_of_fixed_shapes_gets_one_batch_size_and_filled_batches(
    pristine: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tensor: bool
) -> None:
    monkeypatch.setattr(Placement, "fixed_batch", True)
    folder = pristine(tensor=True) if tensor else pristine()
    given = PIXELS.astype(np.float32) if tensor else PIXELS
    model = open_package(folder, providers=["cpu"], batch_size=2)
    shapes: list[Any] = []
    inner = model.stages.body._stage  # type: ignore[attr-defined]
    real = inner.run
    monkeypatch.setattr(inner, "run", lambda x: (shapes.append(x.shape), real(x))[1])
    logits = model.run_tensor(given)
    assert shapes == [(2, 3, 8, 8)] * 2
    np.testing.assert_allclose(logits, open_package(folder, "onnxruntime").run_tensor(given), rtol=1e-5)
    with pytest.raises(PackageError, match="failed on CPUExecutionProvider on an input of shape"):
        real(given)  # three images: the session was made for two


def test_providers_of_fixed_shapes_take_single_images_unless_told_otherwise() -> None:
    _, placement = read_placement("auto", ["qnn"])
    assert default_settings("onnxruntime", 4, placement=placement).batch == 1
    throughput = default_settings("onnxruntime", 4, "throughput", placement=placement)
    assert (throughput.streams, throughput.threads, throughput.batch) == (2, 2, 8)
    assert default_settings("onnxruntime", 4, batch=4, placement=placement).batch == 4
    assert default_settings("onnxruntime", 4, placement=Placement((Provider(CUDA),))).batch == 8


@pytest.mark.parametrize(
    "command",
    [
        ["classify", "{photo}"],
        ["verify"],
        ["bench", "--iterations", "4", "--warmup", "1"],
        ["tune", "--hint", "latency", "--duration", "0.05"],
    ],
)
def test_every_command_takes_providers_and_names_what_is_mistyped(
    package: Path, photo: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    arguments = [part.format(photo=photo) for part in command]
    assert main(package, [*arguments, "--providers", "cpu"]) == 0
    capsys.readouterr()
    assert main(package, [*arguments, "--providers", "cpux"]) == 1
    assert f'did you mean "{CPU}"?' in capsys.readouterr().err
    assert main(package, [*arguments, "--device", "GUP"]) == 1
    assert 'did you mean "GPU"?' in capsys.readouterr().err


def test_eval_takes_providers(package: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = photo.with_name("truth.txt")
    truth.write_text(f"{photo.name} 0\n")
    arguments = ["eval", str(photo.parent), "--truth", str(truth)]
    assert main(package, [*arguments, "--providers", "cpu"]) == 0
    assert main(package, [*arguments, "--providers", "cpux"]) == 1
    assert f'did you mean "{CPU}"?' in capsys.readouterr().err


def test_the_benchmark_tells_what_ran_how_many_nodes(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(package, ["bench", "--iterations", "4", "--providers", "cpu", "--quiet"]) == 0
    assert f"runs on: {CPU} (6 nodes)" in capsys.readouterr().out


def test_a_tuning_counts_for_the_providers_it_was_measured_on(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    tune = ["tune", "--hint", "throughput", "--duration", "0.05", "--quiet", "--json"]
    assert main(package, [*tune, "--providers", "cpu"]) == 0
    tuned = open_package(package, providers=["cpu"], hint="throughput").settings
    assert tuned.placement.providers == (Provider(CPU),)
    assert open_package(package, "onnxruntime", hint="throughput").settings.placement.providers == ()
