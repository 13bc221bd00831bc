"""Result files: written and read, with colons anywhere, and refused when cut short or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from zooc_runtime import PackageError
from zooc_runtime.evaluation.result_file import RankedClass, read_results, result_lines

CRANES = [RankedClass(134, 0.75, "crane"), RankedClass(517, 0.125, "crane")]


def test_the_lines_are_vastais() -> None:
    assert result_lines("/n1/a.npz", CRANES) == (
        "/n1/a.npz: Relay top-0 id: 134, prob: 0.75000000, class name: crane\n"
        "/n1/a.npz: Relay top-1 id: 517, prob: 0.12500000, class name: crane\n"
    )


@pytest.mark.parametrize(
    "path", ["/n1/a.npz", "C:/n1/a: b.npz", "/n1: Relay/top-5 id: 3/a.npz", "rel/ü .npz"]
)
@pytest.mark.parametrize(
    "label", ["crane", "kind: of crane", "x: Relay top-9 id: 7, prob: 1, class name: y", ""]
)
def test_colons_in_paths_and_labels_are_read_back(tmp_path: Path, path: str, label: str) -> None:
    ranked = [RankedClass(3, 0.5, label), RankedClass(1, 1e-9, label)]
    (tmp_path / "r.txt").write_text(result_lines(path, ranked) + result_lines(f"{path}2", CRANES), "utf-8")
    assert read_results(tmp_path / "r.txt") == [(path, (3, 1)), (f"{path}2", (134, 517))]


def test_windows_line_ends_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    text = result_lines("a", CRANES).replace("\n", "\r\n") + "\n" + result_lines("b", CRANES)
    (tmp_path / "r.txt").write_bytes(text.encode())
    assert read_results(tmp_path / "r.txt") == [("a", (134, 517)), ("b", (134, 517))]


LINES = result_lines("a", CRANES) + result_lines("b", CRANES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "r.txt: has no results; run decode"),
        (
            LINES[:-1].rsplit("\n", 1)[0],
            r"r.txt:3: 1 lines for b, but 2 for the images before it; .*cut short",
        ),
        (LINES[:-20], r"r.txt:4: .* is not of the form"),
        (LINES.split("\n", 1)[1], "r.txt:1: top-1 of a where top-0 is expected; lines are missing"),
        (LINES + LINES, "r.txt:5: a has an answer in line 1 already; two runs were appended"),
        (LINES.replace("id: 517", "id: 134"), "r.txt:1: a class id comes twice in the answer for a"),
        ("nonsense\n", "r.txt:1: 'nonsense' is not of the form"),
    ],
)
def test_an_unfit_file_is_named_with_the_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "r.txt").write_text(text)
    with pytest.raises(PackageError, match=message):
        read_results(tmp_path / "r.txt")


@pytest.mark.parametrize("path", ["two\nlines", "carriage\rreturn", "\udcff"])
def test_a_path_that_cannot_stand_in_a_line_is_refused(path: str) -> None:
    with pytest.raises(PackageError, match="rename the file"):
        result_lines(path, CRANES)
