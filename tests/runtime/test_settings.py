"""Engine and settings where nothing was measured."""

from __future__ import annotations

from typing import Any

import pytest

from zooc_runtime import PackageError
from zooc_runtime.inference import engines
from zooc_runtime.inference.engines import choose_engine, installed_engines
from zooc_runtime.inference.settings import Settings, default_settings

BOTH = ("onnxruntime", "openvino")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (1, 6, 8)),
        ({"hint": "latency"}, (1, 6, 1)),
        ({"hint": "throughput"}, (6, 1, 1)),
        ({"hint": "throughput", "streams": 2}, (2, 3, 1)),
        ({"hint": "throughput", "threads": 2}, (3, 2, 1)),
        ({"hint": "throughput", "threads": 12}, (1, 12, 1)),
        ({"hint": "latency", "batch": 4}, (1, 6, 4)),
        ({"streams": 12}, (12, 1, 8)),
    ],
)
def test_streams_share_the_cores_as_the_hint_says_and_what_is_given_counts(
    given: dict[str, Any], expected: tuple[int, int, int]
) -> None:
    assert default_settings("onnxruntime", 6, **given) == Settings("onnxruntime", *expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"hint": "thruput"}, 'unknown hint "thruput"; did you mean "throughput"?'),
        ({"hint": "speed!"}, "known are latency, throughput"),
        ({"streams": 0}, "streams is 0; a whole number of at least 1"),
        ({"threads": 1.5}, r"threads is 1\.5"),
        ({"hint": "throughput", "threads": 0}, "threads is 0"),
        ({"batch": True}, "batch_size is True"),
    ],
)
def test_unfit_settings_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=message.replace("?", r"\?")):
        default_settings("onnxruntime", 2, **given)


@pytest.mark.parametrize(
    ("amx", "installed", "expected"),
    [(True, BOTH, "openvino"), (False, BOTH, "onnxruntime"), (True, ("onnxruntime",), "onnxruntime")],
)
def test_auto_is_openvino_only_where_it_is_installed_and_the_cpu_has_amx(
    monkeypatch: pytest.MonkeyPatch, amx: bool, installed: tuple[str, ...], expected: str
) -> None:
    monkeypatch.setattr(engines, "has_amx", lambda: amx)
    monkeypatch.setattr(engines, "installed_engines", lambda _: dict.fromkeys(installed, "1"))
    assert choose_engine("auto", BOTH) == expected


def test_a_misspelt_engine_is_told_the_right_one() -> None:
    with pytest.raises(PackageError, match='unknown engine "openvno"; did you mean "openvino"'):
        choose_engine("openvno", BOTH)


def test_only_supported_engines_count_as_installed_and_none_is_imported_to_find_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines.importlib, "import_module", lambda name: pytest.fail(f"imports {name}"))
    assert list(installed_engines(["onnxruntime"])) == ["onnxruntime"]
    assert installed_engines([]) == {}
