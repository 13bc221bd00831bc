"""`zooc compile` of several files and variants; `--ray` where it is mistyped; two runs into one file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from zooc.diagnostics.diagnostic import ZoocError
from zooc.pipeline import matrix
from zooc.pipeline.matrix import Cell, CompileJob, Processes, default_jobs, plan
from zooc_runtime.support.lock import locked

VARIANTS = 'variant small { quantize.calibrate = max }\nvariant lost { quantize.data = images("nowhere") }\n'


def test_each_variant_is_compiled_and_the_one_that_fails_is_named(workplace) -> None:
    text = (workplace.folder / "tiny.zoo").read_text("utf-8")
    (workplace.folder / "net.zoo").write_text(text + VARIANTS, "utf-8")
    said = workplace.zooc(
        "compile", "net.zoo", "--all-variants", "-o", "out", "--set", "quantize.calibrate=mse", code=1
    )
    rows = {line.split()[1]: line for line in said.splitlines() if line.startswith("net ")}
    assert list(rows) == ["-", "small", "lost"]
    assert str(workplace.folder / "out" / "net-small") in rows["small"] and " done " in rows["small"]
    assert rows["lost"].endswith("Z0119") and " failed " in rows["lost"]
    assert 'error[Z0119]: the folder of images "nowhere" does not exist' in said
    assert (workplace.folder / "out" / "net" / "tiny" / "model.onnx").exists()
    assert not (workplace.folder / "out" / "net-lost").exists()
    # What is there is not compiled again, nor replaced.
    again = ("compile", "net.zoo", "--all-variants", "-o", "out", "--junit", "out.xml")
    document = json.loads(workplace.zooc(*again, "--format", "json", "-q", code=1))
    (suite,) = ElementTree.parse(workplace.folder / "out.xml").getroot()
    names = [case.get("name") for case in suite]
    assert names == [
        str(workplace.folder / "net.zoo") + more for more in ("", ", variant small", ", variant lost")
    ]
    assert ["Z0119" in (case.findtext("failure") or "") for case in suite] == [False, False, True]
    assert [one["codes"] for one in document["compiles"]] == [["Z0601"], ["Z0601"], ["Z0119"]]
    assert document["ok"] is False and document["not_compiled"] == []


def test_packages_never_meet(workplace) -> None:
    other = workplace.folder / "other"
    other.mkdir()
    shutil.copy(workplace.folder / "tiny.zoo", other / "Tiny.zoo")
    said = workplace.refused("Z0645", "compile", "tiny.zoo", "other/Tiny.zoo", "-o", "out")
    assert "would both be written to" in said and not (workplace.folder / "out").exists()
    (workplace.folder / "tiny-a.zoo").write_text("", "utf-8")
    (workplace.folder / "tiny.zoo").write_text("variant a { package.name = b }", "utf-8")
    with pytest.raises(ZoocError, match="Z0645"):
        plan([Path("tiny.zoo"), Path("tiny-a.zoo")], all_variants=True, root=Path("out"))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["a.zoo", "b.zoo", "--measure"], "--measure"),
        (["a.zoo", "--all-variants", "--variant", "x"], "--variant"),
        (["a.zoo", "b.zoo", "--stop-before", "emit"], "--stop-before"),
        (["a.zoo", "--jobs", "2"], "--jobs"),
        (["a.zoo", "b.zoo", "--jobs", "2", "--ray", "local"], "--jobs"),
        (["a.zoo", "b.zoo", "--jobs", "0"], "--jobs"),
    ],
)
def test_options_that_do_not_fit_are_refused(workplace, arguments: list[str], option: str) -> None:
    assert option in workplace.zooc("compile", *arguments, code=2)


def test_a_compile_that_is_killed_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = """# {path}
import os, sys
if "a.zoo" in sys.argv[2]:
    os.kill(os.getpid(), 9)
print('{{"ok": true, "diagnostics": []}}')
"""
    monkeypatch.setattr(matrix, "_START", start)
    cells = [Cell(tmp_path / f"{name}.zoo", None, tmp_path / name) for name in "ab"]
    found = dict(Processes(2).map(CompileJob(), cells))
    assert [found[place].done for place in range(2)] == [False, True]
    (problem,) = found[0].said["diagnostics"]
    assert problem["code"] == "Z0647" and "a.zoo ended by signal SIGKILL" in problem["message"]
    assert default_jobs() >= 1


@pytest.mark.parametrize(
    ("code", "address", "hint"),
    [
        ("Z0641", "lokal", 'did you mean "local"?'),
        ("Z0641", "127.0.0.1", "give local, auto or HOST:PORT"),
        ("Z0642", "127.0.0.1:9", "check the address"),
    ],
)
def test_a_wrong_address_of_a_cluster_is_said(workplace, code: str, address: str, hint: str) -> None:
    assert hint in workplace.refused(code, "calibrate", "tiny.zoo", "--ray", address, "-o", "all.calib")
    assert not (workplace.folder / "all.calib").exists()


def test_ray_that_is_not_installed_is_said(workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    said = workplace.refused("Z0640", "calibrate", "tiny.zoo", "--ray", "local", "-o", "all.calib")
    assert "pip install 'ray>=" in said


def test_a_second_calibration_into_one_file_is_refused(workplace) -> None:
    with locked(workplace.folder / "all.calib"):
        said = workplace.refused("Z0646", "calibrate", "tiny.zoo", "-o", "all.calib")
    assert "another run is writing it" in said
