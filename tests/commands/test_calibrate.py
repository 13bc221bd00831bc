from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from zooc.calibration import image_set as calibration
from zooc.calibration.file import Calibration
from zooc.frontend.syntax.vocabulary import CALIBRATION_METHODS

FILE = "tiny.zoo"


def shards(workplace, count: int) -> list[str]:
    names = [f"part{i}.calib" for i in range(1, count + 1)]
    for index, name in enumerate(names, 1):
        workplace.zooc("calibrate", FILE, "--shard", f"{index}/{count}", "-o", name)
    return names


def test_shards_merge_to_the_single_run_in_any_order_and_compile_to_the_same_package(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib", "--no-cache")
    parts = shards(workplace, 3)
    for seed in range(3):
        random.Random(seed).shuffle(parts)
        workplace.zooc("calibrate", "merge", *parts, "-o", "merged.calib", "--force")
        assert workplace.bytes("merged.calib") == workplace.bytes("all.calib")
    workplace.zooc("compile", FILE, "-o", "direct")
    workplace.zooc("compile", FILE, "-o", "ranged", "--ranges", "merged.calib")
    for path in (workplace.folder / "direct").rglob("*"):
        if path.is_file():
            relative = path.relative_to(workplace.folder / "direct")
            assert (workplace.folder / "ranged" / relative).read_bytes() == path.read_bytes(), relative


def test_shards_of_shards_merge_in_steps(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    parts = [("1/2", "a"), ("2/4", "b"), ("4/4", "c")]
    for shard, name in parts:
        workplace.zooc("calibrate", FILE, "--shard", shard, "-o", f"{name}.calib")
    workplace.zooc("calibrate", "merge", "--partial", "c.calib", "a.calib", "-o", "ca.calib")
    said = workplace.refused("Z0466", "compile", FILE, "-o", "out", "--ranges", "ca.calib")
    assert "shard 2/4 missing" in said
    workplace.zooc("calibrate", "merge", "b.calib", "ca.calib", "-o", "merged.calib")
    assert workplace.bytes("merged.calib") == workplace.bytes("all.calib")


def test_a_fixed_batch_gives_the_same_bits_in_shards(workplace) -> None:
    fixed = ("--set", "model.input=[4, 3, size, size]")
    workplace.zooc("calibrate", FILE, *fixed, "-o", "all.calib")
    for index in (1, 2):
        workplace.zooc("calibrate", FILE, *fixed, "--shard", f"{index}/2", "-o", f"part{index}.calib")
    workplace.zooc("calibrate", "merge", "part2.calib", "part1.calib", "-o", "merged.calib")
    assert workplace.bytes("merged.calib") == workplace.bytes("all.calib")


def test_more_shards_than_images_is_a_warning_and_still_merges(workplace) -> None:
    few = ("--set", 'quantize.data=images("images", count=2)')
    workplace.zooc("calibrate", FILE, *few, "-o", "all.calib")
    for index in (1, 2, 3):
        said = workplace.zooc("calibrate", FILE, *few, "--shard", f"{index}/3", "-o", f"part{index}.calib")
        assert ("Z0473" in said) == (index == 3)
    workplace.zooc("calibrate", "show", "part3.calib")
    workplace.zooc("calibrate", "merge", *(f"part{i}.calib" for i in (3, 1, 2)), "-o", "merged.calib")
    assert workplace.bytes("merged.calib") == workplace.bytes("all.calib")


def test_tables_carry_every_bit_to_the_compiled_network(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    workplace.zooc("calibrate", "export", "all.calib", "--method", "percentile(99.9)", "-o", "table.txt")
    workplace.zooc("calibrate", "import", "table.txt", FILE, "-o", "table.calib")
    shown = workplace.zooc("calibrate", "show", "all.calib", "--method", "percentile(99.9)")
    (workplace.folder / "shown.txt").write_text(shown, "utf-8")
    workplace.zooc("compile", FILE, "-o", "direct")
    for name in ("table.txt", "table.calib", "shown.txt"):
        workplace.zooc("compile", FILE, "-o", "out", "--force", "--ranges", name)
        assert workplace.bytes("out/tiny/model.onnx") == workplace.bytes("direct/tiny/model.onnx"), name
    manifest = json.loads(workplace.bytes("out/tiny/manifest.json"))
    assert manifest["quantization"]["calibrate"] == "imported ranges"


def test_an_edited_table_changes_the_network(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    workplace.zooc("calibrate", "export", "all.calib", "--method", "max", "-o", "table.txt")
    lines = workplace.bytes("table.txt").decode().splitlines()
    name = lines[-1].split()[0]
    lines[-1] = f"{name} 99"
    (workplace.folder / "table.txt").write_text("\n".join(lines), "utf-8")
    workplace.zooc("calibrate", "import", "table.txt", FILE, "-o", "table.calib")
    rows = json.loads(workplace.zooc("calibrate", "show", "table.calib", "--format", "json"))["tensors"]
    assert {r["name"]: (r["min"], r["max"]) for r in rows}[name] == (-99, 99)


def test_show_lists_every_tensor_with_its_range_and_extremes(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    shown = json.loads(
        workplace.zooc("calibrate", "show", "all.calib", "--method", "max", "--format", "json")
    )
    assert (shown["images"], shown["shards"], shown["method"]) == (9, ["1/1"], "max")
    names = [row["name"] for row in shown["tensors"]]
    assert names == ["stem_relu", "block", "block_relu", "pooled"]
    for row in shown["tensors"]:
        assert row["max"] == row["observed_max"]
        assert row["threshold"] == max(row["max"], -row["min"])
    assert "observed" in workplace.zooc("calibrate", "show", "all.calib")


def test_nothing_is_replaced_unasked(workplace) -> None:
    (workplace.folder / "all.calib").write_text("precious")
    for command in ((FILE,), ("merge", "x.calib"), ("export", "x.calib"), ("import", "t.txt", FILE)):
        arguments = ("calibrate", *command, "-o", "all.calib")
        if command[0] != "export":
            assert "--force" in workplace.refused("Z0471", *arguments)
    assert workplace.bytes("all.calib") == b"precious"
    workplace.zooc("calibrate", FILE, "-o", "all.calib", "--force")
    assert sorted(p.name for p in workplace.folder.glob(".*")) == []


@pytest.mark.parametrize("shard", ["0/8", "9/8", "x", "3", "0/0", "-1/4", "1.5/4", "3/8/2", ""])
def test_a_shard_that_is_none_is_refused(workplace, shard: str) -> None:
    workplace.refused("Z0460", "calibrate", FILE, f"--shard={shard}", "-o", "part.calib")


def test_overlapping_and_missing_shards_are_named(workplace) -> None:
    parts = shards(workplace, 3)
    workplace.zooc("calibrate", FILE, "--shard", "1/6", "-o", "sixth.calib")
    said = workplace.refused("Z0465", "calibrate", "merge", *parts, "part2.calib", "-o", "all.calib")
    assert "shard 2/3 of part2.calib and shard 2/3 of part2.calib share images" in said
    said = workplace.refused("Z0465", "calibrate", "merge", *parts, "sixth.calib", "-o", "all.calib")
    assert "shard 1/6 of sixth.calib and shard 1/3 of part1.calib" in said
    said = workplace.refused("Z0466", "calibrate", "merge", parts[1], "-o", "all.calib")
    assert "shards 1/3, 3/3 missing" in said
    assert not (workplace.folder / "all.calib").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("mean=0.4", "their preprocessing differs"),
        ('model.source=onnx("other.onnx")', "their networks differ"),
        ('quantize.data=images("images", count=8)', "they draw from different images (9 and 8)"),
    ],
)
def test_parts_of_different_calibrations_do_not_merge(workplace, change: str, what: str) -> None:
    write_other(workplace.folder)
    workplace.zooc("calibrate", FILE, "--shard", "1/2", "-o", "a.calib")
    workplace.zooc("calibrate", FILE, "--shard", "2/2", "--set", change, "-o", "b.calib")
    assert what in workplace.refused("Z0467", "calibrate", "merge", "a.calib", "b.calib", "-o", "all.calib")


def test_parts_from_different_versions_of_the_engine_merge_with_a_warning_that_names_them(workplace) -> None:
    first, second = (workplace.folder / name for name in shards(workplace, 2))
    part = Calibration.load(second)
    replace(part, identity=replace(part.identity, engine="0.9.0")).save(second, force=True)
    said = workplace.zooc("calibrate", "merge", first.name, second.name, "-o", "all.calib")
    assert "Z0476" in said and f"0.9.0, {part.identity.engine}" in said
    workplace.zooc("compile", FILE, "-o", "out", "--ranges", "all.calib")


def write_other(folder: Path) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load(folder / "net.onnx")
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 2, weights.name))
    onnx.save(model, folder / "other.onnx")


@pytest.mark.parametrize(
    ("change", "code", "fragment"),
    [
        ("mean=0.4", "Z0463", "was calibrated with other preprocessing"),
        ("size=16", "Z0463", "was calibrated with other preprocessing"),
        ('model.source=onnx("other.onnx")', "Z0464", "was calibrated for another network"),
        ("quantize=fp32", "Z0475", "fp32 needs no calibration"),
    ],
)
def test_a_calibration_of_something_else_is_refused(workplace, change: str, code: str, fragment: str) -> None:
    write_other(workplace.folder)
    sizes = ("--set", "model.input=[batch, 3, 24, 24]") if "size" in change else ()
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    arguments = ("compile", FILE, "-o", "out", "--ranges", "all.calib", "--set", change)
    if change == "size=16":
        assert sizes  # a smaller picture fits a network whose input is free
        arguments = (*arguments, "--set", "model.input=[batch, 3, 16, 16]")
        write_free(workplace.folder)
        workplace.zooc("calibrate", FILE, "-o", "all.calib", "--force")
    assert fragment in workplace.refused(code, *arguments)
    assert not (workplace.folder / "out").exists()


def write_free(folder: Path) -> None:
    import onnx

    model = onnx.load(folder / "net.onnx")
    for dim in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dim.dim_param = f"free{dim.dim_value}"
    onnx.save(model, folder / "net.onnx")


def test_a_keep_that_quantizes_more_than_was_calibrated_names_what_lacks(workplace) -> None:
    workplace.zooc("calibrate", FILE, "--set", 'quantize.keep=["block/*"]', "-o", "all.calib")
    said = workplace.refused("Z0470", "compile", FILE, "-o", "out", "--ranges", "all.calib")
    assert 'missing: "block"' in said


def spoil(workplace, how: str) -> str:
    path = workplace.folder / "bad.calib"
    if how == "missing":
        return path.name
    workplace.zooc("calibrate", FILE, "-o", path.name)
    data = path.read_bytes()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    if how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        middle = len(data) // 3
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    elif how == "binary":
        path.write_bytes(bytes(range(256)))
    elif how == "other npz":
        np.savez(path.with_suffix(".npz"), a=np.zeros(3))
        path.with_suffix(".npz").rename(path)
    else:
        changes = {"version": {"calib": np.asarray(99)}, "lost": {"about": np.zeros(2, np.uint8)}}
        with path.open("wb") as file:
            np.savez(file, **{**arrays, **changes[how]})
    return path.name


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("missing", "Z0461"),
        ("empty", "Z0461"),
        ("truncated", "Z0461"),
        ("flipped", "Z0461"),
        ("binary", "Z0461"),
        ("other npz", "Z0461"),
        ("lost", "Z0461"),
        ("version", "Z0462"),
    ],
)
def test_a_file_that_is_no_sound_calibration_is_refused(workplace, how: str, code: str) -> None:
    name = spoil(workplace, how)
    assert name in workplace.refused(code, "compile", FILE, "-o", "out", "--ranges", name)
    assert name in workplace.refused(code, "calibrate", "show", name)
    assert name in workplace.refused(code, "calibrate", "merge", name, "-o", "all.calib")


@pytest.mark.parametrize(
    ("line", "code", "fragments"),
    [
        ("stem_relu 2 0 nan", "Z0468", ("nan is no value of a tensor", "--> table.txt:")),
        ("stem_relu 2 0 1e39", "Z0468", ("1e39 is no value",)),
        ("stem_relu 2 2 -1", "Z0468", ("the minimum 2 exceeds the maximum -1",)),
        ("stem_relu 5 0 2", "Z0468", ("the threshold 5 is not max(|min|, |max|) = 2",)),
        ("stem_relu -5", "Z0468", ("is negative",)),
        ("stem_relu two", "Z0468", ("'two' is no number",)),
        ("stem_relu 2 0", "Z0468", ("a line of 3 columns",)),
        ("block 2 -2 2", "Z0468", ('"block" is given twice', "first given here")),
        ("stem_rleu 2 0 2", "Z0469", ('no tensor "stem_rleu"', 'did you mean "stem_relu"')),
        ("# nothing", "Z0470", ('has no range for "stem_relu"',)),
    ],
)
def test_a_table_with_a_bad_line_is_refused(workplace, line: str, code: str, fragments) -> None:
    rest = ["block 3 -3 3", "block_relu 4 0 4  # fine", "pooled 1 0 1"]
    (workplace.folder / "table.txt").write_text("\n".join([*rest, line, ""]), "utf-8")
    for command in (("compile", FILE, "--ranges", "table.txt"), ("calibrate", "import", "table.txt", FILE)):
        said = workplace.refused(code, *command, "-o", "out")
        for fragment in fragments:
            assert fragment in said


def test_a_table_of_quite_another_network_is_said_to_be_one(workplace) -> None:
    (workplace.folder / "table.txt").write_text("conv1 2 0 2\nconv2 2 0 2\n", "utf-8")
    said = workplace.refused("Z0469", "compile", FILE, "-o", "out", "--ranges", "table.txt")
    assert "names no tensor of this network" in said


def test_imported_ranges_cannot_be_derived_from(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    workplace.zooc("calibrate", "export", "all.calib", "-o", "table.txt")
    workplace.zooc("calibrate", "import", "table.txt", FILE, "-o", "table.calib")
    workplace.refused("Z0474", "calibrate", "show", "table.calib", "--method", "mse")
    workplace.refused("Z0474", "calibrate", "merge", "table.calib", "-o", "x.calib")
    workplace.refused("Z0461", "calibrate", "import", "table.calib", FILE, "-o", "x.calib")


@pytest.mark.parametrize("method", ["99.99", "percentile", "percentile(0)", "percentile(101)", "entropy", ""])
def test_a_method_that_is_none_is_refused(workplace, method: str) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    workplace.refused("Z0477", "calibrate", "show", "all.calib", "--method", method)


@pytest.mark.parametrize(
    ("mistyped", "code", "meant"),
    [
        ("kl_divergance", "Z0106", "kl_divergence"),
        ("mes", "Z0106", "mse"),
        ("percentle(99.9)", "Z0104", "percentile"),
    ],
)
def test_a_mistyped_method_is_answered_as_in_the_language(workplace, mistyped, code, meant) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    for said in (
        workplace.refused("Z0477", "calibrate", "show", "all.calib", "--method", mistyped),
        workplace.refused(code, "check", FILE, "--set", f"quantize.calibrate={mistyped}"),
    ):
        assert f"did you mean `{meant}`?" in said


def test_the_methods_are_in_the_help(workplace) -> None:
    said = " ".join(workplace.zooc("calibrate", "show", "--help").replace("│", " ").split())
    for method in CALIBRATION_METHODS:
        assert method in said


def test_a_description_without_int8_has_nothing_to_calibrate(workplace) -> None:
    workplace.refused("Z0475", "calibrate", FILE, "--set", "quantize=fp16", "-o", "all.calib")


def test_one_image_calibrates_with_a_warning(workplace) -> None:
    one = ("--set", 'quantize.data=images("images", count=1)')
    said = workplace.zooc("compile", FILE, *one, "-o", "out")
    assert "warning[Z0472]" in said


def test_ranges_are_enough_where_the_images_are_not(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    for image in (workplace.folder / "images").iterdir():
        image.unlink()
    workplace.refused("Z0451", "compile", FILE, "-o", "out")
    workplace.zooc("compile", FILE, "-o", "out", "--ranges", "all.calib")


def test_with_ranges_a_folder_of_images_that_is_not_there_is_a_warning(workplace) -> None:
    workplace.zooc("calibrate", FILE, "-o", "all.calib")
    workplace.zooc("calibrate", "export", "all.calib", "-o", "table.txt")
    for index in (1, 2):
        workplace.zooc("calibrate", FILE, "--shard", f"{index}/2", "-o", f"part{index}.calib")
    shutil.rmtree(workplace.folder / "images")
    for command in (("compile", FILE), ("calibrate", FILE)):
        assert "does not exist" in workplace.refused("Z0119", *command, "-o", "out")
    workplace.zooc("calibrate", "merge", "part1.calib", "part2.calib", "-o", "merged.calib")
    workplace.zooc("calibrate", "show", "merged.calib")
    said = workplace.zooc("calibrate", "import", "table.txt", FILE, "-o", "table.calib")
    assert "warning[Z0119]" in said
    said = workplace.zooc("compile", FILE, "-o", "out", "--ranges", "merged.calib")
    assert "warning[Z0119]" in said
    assert "warning[Z0481]" in said
    assert (workplace.folder / "out" / "tiny" / "model.onnx").is_file()


def test_the_command_explains_itself(workplace) -> None:
    for arguments in (("calibrate", "--help"), ("calibrate", "file", "--help"), ("calibrate", "merge", "-h")):
        assert "Usage" in workplace.zooc(*arguments)
    assert "Usage" in workplace.zooc("calibrate", code=2)


GATED = """
import signal, time
from pathlib import Path
import zooc.calibration.image_set, zooc.calibration.run
decode, calls = zooc.calibration.image_set.decode, []
def gated(*given):
    calls.append(given)
    until = time.monotonic() + 120
    while len(calls) > 4 and not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return decode(*given)
zooc.calibration.image_set.decode = gated
zooc.calibration.run._SAVE_EVERY = 0.0
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background leaves it ignored
from zooc.cli.app import main
main()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_killed_calibration_continues_and_gives_the_same_bits(workplace, monkeypatch, how) -> None:
    workplace.zooc("calibrate", FILE, "-o", "whole.calib", "--no-cache")
    command = [sys.executable, "-c", GATED, "calibrate", FILE, "-o", "all.calib"]
    partial = workplace.folder / "cache" / "partial"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 120
        while not list(partial.glob("*.sha256")):
            assert process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        process.send_signal(how)
        (workplace.folder / "go").touch()  # Ctrl-C lets the images under way be finished
        said = process.communicate(timeout=120)[1]
    assert process.returncode == (130 if how == signal.SIGINT else -how), said
    if how == signal.SIGINT:
        assert "of 9 images are calibrated; the same command continues from there" in said
    assert not (workplace.folder / "all.calib").exists()
    decoded: list[Path] = []
    decode = calibration.decode
    monkeypatch.setattr(calibration, "decode", lambda *given: decoded.append(given[0]) or decode(*given))
    said = workplace.zooc("calibrate", FILE, "-o", "all.calib")
    found = re.search(r"continues an interrupted calibration: (\d) of 9 images done", said)
    assert found is not None, said
    assert len(decoded) == 9 - int(found[1]) < 9
    assert workplace.bytes("all.calib") == workplace.bytes("whole.calib")
    assert not list(partial.glob("[!.]*"))
