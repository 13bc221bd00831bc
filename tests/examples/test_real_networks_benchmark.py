"""benchmarks/real_networks.py: pictures are the same every time, promises are held to the best peer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("kind", ["write_pages", "write_photographs", "write_text_lines"])
def test_pictures_follow_from_the_seed(load: Any, tmp_path: Path, kind: str) -> None:
    photographs = load("photographs")
    if kind != "write_pages":
        for name in photographs.PHOTOGRAPHS_NEED:
            pytest.importorskip(name)
    write = getattr(photographs, kind)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write(tmp_path / name, 4, seed)
    first, again, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in "abc"
    )
    assert first == again
    assert len(set(first)) == 4
    assert not set(first) & set(other)


def test_every_description_compiles_its_prelude(load: Any, tmp_path: Path) -> None:
    from zooc.compilation import Request
    from zooc.pipeline.context import Context
    from zooc.pipeline.lower import analyze
    from zooc.support.cache import Cache
    from zooc.support.progress import Progress

    for subject in load("trained").TRAINED:
        folder = tmp_path / subject.name
        (folder / "calibration").mkdir(parents=True)
        (folder / f"{subject.name}.onnx").write_bytes(b"not read here")
        file = subject.describe(folder, "calibrate auto(effort=high)")
        deployment = analyze(Request(file), Context(Cache(None), Progress()))
        assert deployment.quantize.calibrate.effort == "high"


def row(label: str, sqnr: float, agreement: float) -> dict[str, Any]:
    return {"label": label, "sqnr_db": sqnr, "agreement": agreement, "kl": 0.1, "seconds": 1.0}


def test_promises_are_held_to_the_best_peer_in_each_measure(load: Any) -> None:
    verdicts = load("real_networks").verdicts
    peers = [row("NNCF", 20.0, 0.90), row("ORT MinMax", 18.0, 0.95)]

    def verdict(*ours: dict[str, Any], network: str = "net") -> list[str]:
        return list(verdicts({"networks": {network: [*peers, *ours]}}))

    assert verdict(row("zooc auto", 22.0, 0.95))[0].startswith("holds: net, auto: +2.0 dB")
    assert verdict(row("zooc auto", 21.9, 0.95))[0].startswith("fails")
    assert verdict(row("zooc auto", 30.0, 0.94))[0].startswith("fails")
    high = row("zooc auto(effort=high)", 23.9, 1.0)
    assert verdict(high) == []
    assert verdict(high, network="efficientnet_lite0")[0].startswith("fails")
    assert verdicts({"networks": {"net": [{"label": "all", "missing": "pip install x"}]}}) == []


def test_a_page_names_what_did_not_run(load: Any) -> None:
    failed = {"label": "NNCF", "failed": "stopped after 600 s", "process_seconds": 600.0}
    results = {
        "machine": {"processor": "some"},
        "command": "python x",
        "date": "today",
        "sources": "abc",
        "networks": {"net": [failed, row("zooc auto", 22.0, 0.95)]},
    }
    text = load("real_networks").render(results)
    assert "| NNCF | stopped after 600 s | | | |" in text
    assert "| zooc auto | 95.0 % | 22.0 dB | 0.1000 | 1 |" in text
