from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from zooc_runtime.inference import cpu

AVX2 = frozenset({"sse4_1", "avx", "avx2"})
AT_RISK: dict[str, Any] = {"saturation": {"target": "vnni", "proven": ["vnni"], "at_risk": {"conv": 201}}}
PROVEN: dict[str, Any] = {"saturation": {"target": "any", "proven": ["vnni", "avx2", "any"], "at_risk": {}}}


@pytest.fixture(autouse=True)
def _nothing_was_said_yet() -> Iterator[None]:
    cpu._warned.clear()
    yield
    cpu._warned.clear()


def pretend(monkeypatch: pytest.MonkeyPatch, flags: frozenset[str] | None, machine: str = "x86_64") -> None:
    monkeypatch.setattr(cpu, "cpu_flags", lambda: flags)
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)


def test_flags_are_read_as_linux_writes_them(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nflags\t\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nflags\t\t: fpu\n")
    assert cpu.cpu_flags(file) == {"fpu", "avx2", "avx512_vnni"}
    file.write_text("Processor : ARMv8\n")
    assert cpu.cpu_flags(file) is None
    assert cpu.cpu_flags(tmp_path / "missing") is None


@pytest.mark.parametrize("flag", ["avx512_vnni", "avx_vnni", "amx_int8"])
def test_vnni_adds_exactly(flag: str) -> None:
    assert not cpu.saturating_pairs(AVX2 | {flag}, "x86_64")
    assert cpu.saturating_pairs(AVX2, "x86_64")
    assert cpu.saturating_pairs(AVX2, "AMD64")


def test_other_machines_and_unknown_ones_are_not_suspected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not cpu.saturating_pairs(frozenset(), "aarch64")
    pretend(monkeypatch, None)
    assert not cpu.saturating_pairs()


def test_a_package_at_risk_warns_once_and_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, AVX2)
    with pytest.warns(RuntimeWarning, match=r"net: .*1 of its layers.*target cpu\(any\)"):
        cpu.warn_unless_proven("net", AT_RISK)
    cpu.warn_unless_proven("net", AT_RISK)


@pytest.mark.parametrize("quantization", [PROVEN, {"dtype": "fp32"}])
def test_a_proven_or_float_package_does_not_warn(
    quantization: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, AVX2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cpu.warn_unless_proven("net", quantization)


def test_with_vnni_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, AVX2 | {"avx512_vnni"})
    cpu.warn_unless_proven("net", AT_RISK)


def test_amx_is_known_by_its_flag() -> None:
    assert cpu.has_amx(frozenset({"avx512_vnni", "amx_int8"}))
    assert not cpu.has_amx(frozenset({"avx512_vnni"}))
