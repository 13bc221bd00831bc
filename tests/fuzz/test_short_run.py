"""A few seconds of what `make fuzz` does for minutes, and everything that was ever found."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

CORPUS = Path(__file__).parent / "corpus"
COUNTS = {"description": 30, "override": 60, "network": 0}
"""Files a target; of the others 100."""

TARGETS = [
    *("description", "override", "config", "vdsp", "table", "placement", "lists", "manifest"),
    *("calibration", "part", "npz", "image"),
]


def test_no_target_is_forgotten(fuzzing: ModuleType) -> None:
    assert {*TARGETS, "network"} == set(fuzzing.targets.TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_a_sound_file_is_taken_and_strange_ones_are_answered(
    fuzzing: ModuleType, name: str, tmp_path: Path
) -> None:
    tally = fuzzing.Tally()
    sound, target = fuzzing.targets.TARGETS[name]
    assert target(sound, tmp_path) == "taken"
    for seed in range(COUNTS.get(name, 100)):
        fuzzing.feed(name, fuzzing.strange(name, seed), tmp_path, tally)
    assert not tally.found


def test_the_same_number_gives_the_same_file(fuzzing: ModuleType) -> None:
    for name in ("network", "config", "npz"):
        assert fuzzing.strange(name, 7) == fuzzing.strange(name, 7)
        assert len({fuzzing.strange(name, seed) for seed in range(20)}) > 15


def test_a_traceback_is_a_finding(
    fuzzing: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(content: bytes, folder: Path) -> str:
        raise KeyError(len(content))

    monkeypatch.setitem(fuzzing.targets.TARGETS, "lists", (b"", broken))
    tally = fuzzing.Tally()
    assert "KeyError" in (fuzzing.feed("lists", b"abc", tmp_path, tally) or "")
    assert tally.found.total() == 1


FOUND = sorted(file for file in CORPUS.iterdir() if not file.name.startswith("network-"))


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.name)
def test_what_was_found_once_is_answered(fuzzing: ModuleType, file: Path, tmp_path: Path) -> None:
    name = file.name.partition("-")[0]
    assert fuzzing.feed(name, file.read_bytes(), tmp_path, fuzzing.Tally()) is None
