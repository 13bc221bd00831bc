"""Folders of outputs: in the list's order, resumed, and never taken for those of another run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zooc_runtime.evaluation.npz import write_npz

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    """Six npz files of images, in class folders n00 to n05, and the list of them."""
    for index in range(6):
        (tmp_path / "npz" / f"n{index:02d}").mkdir(parents=True)
        pixels = np.random.default_rng(index).integers(0, 256, (3, 9, 9 + index), dtype=np.uint8)
        np.savez(tmp_path / "npz" / f"n{index:02d}" / f"{index}.npz", input_0=pixels)
    files = sorted((tmp_path / "npz").rglob("*.npz"))
    (tmp_path / "list.txt").write_text("".join(f"{file}\n" for file in files))
    return tmp_path / "list.txt"


def _bench(
    run: Run, datalist: Path, *more: str | Path, directory: Path | None = None
) -> tuple[int, str, str]:
    arguments = ["bench", "--iterations", "1", "--warmup", "0", "--quiet", "--datalist", datalist]
    where = {} if directory is None else {"directory": directory}
    return run(*arguments, "--path-output", datalist.parent / "out", *more, **where)


def test_a_run_that_was_cut_short_goes_on(run: Run, datalist: Path) -> None:
    out = datalist.parent / "out"
    assert _bench(run, datalist)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    kept = (out / "output_000000.npz").stat().st_mtime_ns
    (out / "output_000004.npz").unlink()
    (out / ".output_000005.npz.123.part").write_bytes(b"left by a run that was killed")
    code, _, err = _bench(run, datalist)
    assert code == 0 and "5 of 6 outputs are there already and are kept" in err
    assert {path.name: path.read_bytes()[:20] for path in out.iterdir()} == {
        n: b[:20] for n, b in before.items()
    }
    assert (out / "output_000000.npz").stat().st_mtime_ns == kept


def test_outputs_of_another_package_or_list_are_refused_before_anything_is_measured(
    run: Run, datalist: Path, pristine: Callable[..., Path]
) -> None:
    assert _bench(run, datalist)[0] == 0
    code, out, err = _bench(run, datalist, directory=pristine(softmax=False))
    assert (code, out) == (1, "")
    assert "output_000000.npz: is an output of another run" in err and "choose an empty folder" in err
    lines = datalist.read_text().splitlines()
    datalist.write_text("\n".join(reversed(lines)))
    assert "is an output of another run" in _bench(run, datalist)[2]
    datalist.write_text("\n".join(lines[:3]))
    assert (
        "contains output_000003.npz, which is no output of this run of 3 inputs" in _bench(run, datalist)[2]
    )


def test_a_folder_that_holds_something_else_is_refused(run: Run, datalist: Path) -> None:
    (datalist.parent / "out").mkdir()
    (datalist.parent / "out" / "thesis.tex").write_text("x")
    code, _, err = _bench(run, datalist)
    assert code == 1 and "contains thesis.tex, which is no output of this run" in err


def _spoil(path: Path, how: str) -> None:
    good = np.zeros((3, 9, 9), np.uint8)
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[:-50])
    elif how == "flipped":
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif how == "plain npy":
        with path.open("wb") as file:
            np.save(file, good)
    else:
        arrays = {
            "pickled": {"input_0": np.array([{"a": 1}], dtype=object)},
            "keyless": {"images": good},
            "hwc": {"input_0": good.transpose(1, 2, 0)},
            "batched": {"input_0": good[None]},
            "float": {"input_0": good.astype(np.float32)},
            "no pixels": {"input_0": good[:, :0]},
        }
        np.savez(path, **arrays[how])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("missing", "list.txt:3: no such file: "),
        ("empty", "2.npz: an npz file was expected, but it is empty; make it again"),
        ("truncated", "2.npz: not an npz file, truncated or damaged"),
        ("flipped", "2.npz: not an npz file, truncated or damaged"),
        ("plain npy", "2.npz: an npz file was expected, but it is of another kind"),
        ("pickled", "2.npz: input_0 is a pickled object, which could run code"),
        ("keyless", "2.npz: has no input_0"),
        ("hwc", "2.npz: input_0 is uint8 [9, 9, 3]; uint8 [3, H, W], RGB, is expected"),
        ("batched", "2.npz: input_0 is uint8 [1, 3, 9, 9]"),
        ("float", "2.npz: input_0 is float32 [3, 9, 9]"),
        ("no pixels", "2.npz: input_0 is uint8 [3, 0, 9]"),
    ],
)
def test_an_unfit_input_is_named_with_the_remedy(run: Run, datalist: Path, how: str, message: str) -> None:
    _spoil(datalist.parent / "npz" / "n02" / "2.npz", how)
    code, out, err = _bench(run, datalist)
    assert (code, out) == (1, "")
    assert message in err and err.startswith("error: ") and err.count("\n") == 1


def test_a_list_that_names_a_file_twice_is_refused(run: Run, datalist: Path) -> None:
    datalist.write_text(datalist.read_text() * 2)
    for code, _, err in (
        _bench(run, datalist),
        run("decode", datalist, datalist.parent / "out", datalist.parent / "r.txt"),
    ):
        assert code == 1 and "entries 1 and 7 are the same file" in err


@pytest.fixture
def outputs(run: Run, datalist: Path) -> Path:
    assert _bench(run, datalist)[0] == 0
    return datalist.parent / "out"


def _read(run: Run, datalist: Path, outputs: Path) -> list[str]:
    """What decode and eval say."""
    said = []
    for arguments in (
        ("decode", datalist, outputs, datalist.parent / "r.txt"),
        ("eval", outputs, "--datalist", datalist, "--truth", datalist.parent / "truth.txt"),
    ):
        (datalist.parent / "truth.txt").write_text("".join(f"{i}.JPEG {i}\n" for i in range(6)))
        code, out, err = run(*arguments)
        assert (code, out) == (1, "") and err.count("\n") == 1
        said.append(err)
    assert not (datalist.parent / "r.txt").exists()
    return said


def test_other_numbers_of_files_are_refused(run: Run, datalist: Path, outputs: Path) -> None:
    (outputs / "output_000003.npz").unlink()
    for err in _read(run, datalist, outputs):
        assert "5 outputs, but the datalist names 6 inputs" in err and "run bench again" in err


def test_outputs_in_another_order_than_the_list_are_refused(run: Run, datalist: Path, outputs: Path) -> None:
    datalist.write_text("\n".join(reversed(datalist.read_text().splitlines())))
    for err in _read(run, datalist, outputs):
        assert "was made from" in err and "give the datalist of that run" in err


def test_a_whole_set_may_be_moved_and_the_inputs_removed(run: Run, datalist: Path, outputs: Path) -> None:
    text = datalist.read_text().replace(str(datalist.parent / "npz"), "/elsewhere/npz")
    datalist.write_text(text)
    assert run("decode", datalist, outputs, datalist.parent / "r.txt")[0] == 0
    assert (datalist.parent / "r.txt").read_text().startswith("/elsewhere/npz/n00/0.npz: Relay top-0 id: ")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 9), np.float32), "output_0 has 9 values, but 7 classes are expected"),
        (np.zeros((2, 7), np.float32), "output_0 is float32 [2, 7]; one image's 7 scores"),
        (np.zeros((1, 7), np.int64), "output_0 is int64 [1, 7]"),
        (np.full((1, 7), np.nan, np.float32), "output_0 contains NaN"),
        (np.array([{}], dtype=object), "output_0 is a pickled object"),
    ],
)
def test_an_unfit_output_is_named(
    run: Run, datalist: Path, outputs: Path, array: np.ndarray, message: str
) -> None:
    np.savez(outputs / "output_000001.npz", output_0=array)
    for err in _read(run, datalist, outputs):
        assert f"output_000001.npz: {message}" in err


def test_outputs_of_vamp_itself_are_read_without_a_record(run: Run, datalist: Path, tmp_path: Path) -> None:
    (tmp_path / "vamp").mkdir()
    for index in range(6):
        logits = np.arange(7, dtype=np.float16)[None, :, None, None] * (-1) ** index
        write_npz(tmp_path / "vamp" / f"out_{index:03d}.npz", {"output_0": logits})
    result = tmp_path / "r.txt"
    code, _, err = run("decode", datalist, tmp_path / "vamp", result, "--softmax", "--topk", "9")
    assert (code, err) == (0, "")
    lines = result.read_text().splitlines()
    assert len(lines) == 42 and ": Relay top-0 id: 6, prob: 0.63" in lines[0] and "id: 0, prob" in lines[7]


def test_labels_repeat_harmlessly_and_short_lists_are_refused(
    run: Run, datalist: Path, outputs: Path
) -> None:
    result, labels = datalist.parent / "r.txt", datalist.parent / "labels.txt"
    assert run("decode", datalist, outputs, result)[0] == 0
    document = json.loads(run("eval", result, "--truth", _truth_of(result), "--json")[1])
    assert document["top1"] == 6
    labels.write_text("crane\n" * 7)
    assert run("decode", datalist, outputs, result, labels)[0] == 0
    again = json.loads(run("eval", result, "--truth", datalist.parent / "t.txt", "--json")[1])
    assert again["top1"] == 6, "ids decide, not names"
    labels.write_text("crane\n" * 6)
    code, _, err = run("decode", datalist, outputs, result, labels)
    assert code == 1 and "6 labels, but the package has 7 classes" in err


def _truth_of(result: Path) -> Path:
    """A val_label.txt by which every first answer is right."""
    best = [line for line in result.read_text().splitlines() if "Relay top-0" in line]
    lines = (
        f"{Path(line.split(': Relay')[0]).stem}.JPEG {line.split('id: ')[1].split(',')[0]}\n" for line in best
    )
    (result.parent / "t.txt").write_text("".join(lines))
    return result.parent / "t.txt"
