"""Settings that follow from what was measured on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.inference import tuning
from zooc_runtime.inference.settings import Settings, default_settings
from zooc_runtime.inference.tuning import Measured, choose_settings, keep_tuning, read_tuning
from zooc_runtime.package.manifest import Manifest

CORES = 4
ROWS = (
    Measured("latency", Settings("onnxruntime", 1, 4, 1), 9.0, 110.0),
    Measured("latency", Settings("openvino", 1, 2, 1), 5.0, 190.0),
    Measured("throughput", Settings("onnxruntime", 4, 1, 8), 80.0, 400.0),
    Measured("throughput", Settings("openvino", 4, 1, 2), 30.0, 300.0),
    Measured("throughput", Settings("openvino", 1, 4, 4), 20.0, 200.0),
)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty cache, and two engines that seem to be installed; their versions."""
    versions = {"onnxruntime": "1.0", "openvino": "2.0"}
    monkeypatch.setenv("ZOOC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tuning, "installed_engines", lambda _: dict(versions))
    monkeypatch.setattr(tuning, "choose_engine", lambda engine, _: engine.replace("auto", "onnxruntime"))
    return versions


@pytest.fixture
def manifest(package: Path) -> Manifest:
    return Manifest(package)


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"hint": "latency"}, ROWS[1]),
        ({"hint": "throughput"}, ROWS[2]),
        ({"hint": "latency", "engine": "onnxruntime"}, ROWS[0]),
        ({"hint": "throughput", "engine": "openvino"}, ROWS[3]),
        ({"hint": "throughput", "batch": 4}, ROWS[4]),
        ({"hint": "throughput", "streams": 1, "threads": 4}, ROWS[4]),
    ],
)
def test_a_hint_takes_the_best_measured_settings_that_agree_with_what_is_given(
    manifest: Manifest, wish: dict[str, Any], expected: Measured
) -> None:
    keep_tuning(manifest, CORES, ROWS)
    assert choose_settings(manifest, CORES, **wish) == expected.settings


def test_numbers_that_were_not_measured_leave_the_measured_engine(manifest: Manifest) -> None:
    keep_tuning(manifest, CORES, ROWS)
    chosen = choose_settings(manifest, CORES, hint="latency", threads=3)
    assert chosen == Settings("openvino", 1, 3, 1)


def test_without_a_hint_auto_is_the_engine_of_least_latency(manifest: Manifest) -> None:
    keep_tuning(manifest, CORES, ROWS[2:])
    assert choose_settings(manifest, CORES) == default_settings("onnxruntime", CORES)
    keep_tuning(manifest, CORES, ROWS)
    assert choose_settings(manifest, CORES) == default_settings("openvino", CORES)


@pytest.mark.parametrize("hint", [None, "latency", "throughput"])
def test_without_measurements_the_defaults_hold(manifest: Manifest, hint: str | None) -> None:
    assert choose_settings(manifest, CORES, hint=hint) == default_settings("onnxruntime", CORES, hint)


def test_without_measurements_auto_is_the_engine_that_held_the_required_speed(
    manifest: Manifest, machine: dict[str, str]
) -> None:
    manifest.data["speed"] = {"dtype": "int8", "throughput": {"limit": 120.0, "engine": "openvino"}}
    for hint in (None, "throughput"):
        assert choose_settings(manifest, CORES, hint=hint).engine == "openvino"
    assert choose_settings(manifest, CORES, hint="latency").engine == "onnxruntime"
    assert choose_settings(manifest, CORES, "onnxruntime", "throughput").engine == "onnxruntime"
    keep_tuning(manifest, CORES, ROWS)
    assert choose_settings(manifest, CORES, hint="throughput") == ROWS[2].settings
    del machine["openvino"]
    assert choose_settings(manifest, CORES).engine == "onnxruntime"


def test_measurements_of_another_package_core_count_or_engine_version_do_not_count(
    manifest: Manifest, pristine: Callable[..., Path], machine: dict[str, str]
) -> None:
    keep_tuning(manifest, CORES, ROWS)
    assert read_tuning(manifest, CORES) == ROWS
    assert read_tuning(Manifest(pristine(softmax=False)), CORES) == ()
    assert read_tuning(manifest, CORES + 1) == ()
    machine["openvino"] = "2.1"
    assert read_tuning(manifest, CORES) == ()


def test_a_damaged_record_is_ignored_with_a_warning_until_the_next(manifest: Manifest) -> None:
    path = keep_tuning(manifest, CORES, ROWS)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.warns(RuntimeWarning, match="is damaged and is not used; measure again with tune"):
        assert choose_settings(manifest, CORES, hint="latency").engine == "onnxruntime"
    keep_tuning(manifest, CORES, ROWS)
    assert choose_settings(manifest, CORES, hint="latency").engine == "openvino"


@pytest.mark.parametrize(
    ("wish", "message"),
    [({"hint": "fast"}, 'unknown hint "fast"'), ({"threads": 0, "hint": "latency"}, "threads is 0")],
)
def test_unfit_options_are_refused_whatever_was_measured(
    manifest: Manifest, wish: dict[str, Any], message: str
) -> None:
    keep_tuning(manifest, CORES, ROWS)
    with pytest.raises(PackageError, match=message):
        choose_settings(manifest, CORES, **wish)


def test_a_model_tells_the_settings_it_was_loaded_with(package: Path, pristine: Callable[..., Path]) -> None:
    model = open_package(package, "onnxruntime", threads=1, batch_size=3, streams=2)
    assert model.settings == Settings("onnxruntime", 2, 1, 3)
    assert open_package(pristine(batch=3), "onnxruntime", hint="latency").settings.batch == 3
