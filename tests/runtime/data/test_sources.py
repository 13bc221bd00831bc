"""Every source of images gives what the folder gives: the same bytes, the same counts, the same draws."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from zooc_runtime.commands.main import main
from zooc_runtime.data.image_folder import draw, list_images
from zooc_runtime.data.opening import all_images, open_source
from zooc_runtime.data.source import NamedImage

Forms = dict[str, "Path | str"]
LOCAL = ("folder", "pattern", "tar", "shards", "zip", "wrapped", "list", "parquet")


def content_of(image: Path | NamedImage) -> bytes:
    return image.read_bytes() if isinstance(image, Path) else image.read()


def counts(package: Path, capsys: pytest.CaptureFixture[str], place: object) -> tuple[int, int, int]:
    assert main(package, ["eval", str(place), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["skipped"] == []
    return found["images"], found["top1"], found["top5"]


@pytest.fixture(scope="module")
def expected(package: Path, forms: Forms) -> tuple[int, int, int]:
    from contextlib import redirect_stdout
    from io import StringIO

    with redirect_stdout(StringIO()) as out:
        assert main(package, ["eval", str(forms["folder"]), "--json"]) == 0
    found = json.loads(out.getvalue())
    assert 0 < found["top5"] < found["images"] == 14
    return found["images"], found["top1"], found["top5"]


def form_of(forms: Forms, name: str) -> Path | str:
    if name not in forms:
        pytest.skip("pyarrow is not installed")
    return forms[name]


@pytest.mark.parametrize("form", LOCAL[1:])
def test_an_evaluation_counts_the_same(
    form: str, forms: Forms, package: Path, expected: tuple[int, int, int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert counts(package, capsys, form_of(forms, form)) == expected


@pytest.mark.parametrize("form", LOCAL)
def test_the_bytes_are_the_same_in_the_same_order_in_another_process_too(
    form: str, forms: Forms, members: list[tuple[str, bytes]]
) -> None:
    source = open_source(form_of(forms, form))
    images = pickle.loads(pickle.dumps(all_images(source)))
    assert [content_of(image) for image in images] == [content for _, content in members]
    assert not source.remote


def test_a_pattern_is_drawn_from_as_its_folder_is(forms: Forms) -> None:
    folder = Path(forms["folder"])
    items, found = open_source(forms["pattern"]).draw(5, seed=3)
    assert found == 14
    wanted = draw(list_images(folder), 5, 3)
    assert [item.name for item in items] == [path.relative_to(folder).as_posix() for path in wanted]


@pytest.mark.parametrize("form", ["tar", "shards", "zip", "list", "parquet"])
def test_a_larger_draw_holds_the_smaller_and_another_seed_another(form: str, forms: Forms) -> None:
    source = open_source(form_of(forms, form))
    everything = [item.name for item in source.items()]
    few, found = source.draw(4, seed=7)
    more, _ = source.draw(9, seed=7)
    assert found == 14
    assert len(few) == 4
    assert set(few) < set(more)
    assert [item.name for item in more] == [name for name in everything if name in {i.name for i in more}]
    assert source.draw(4, seed=7)[0] == few
    assert source.draw(4, seed=8)[0] != few
    assert [item.name for item in source.draw(99)[0]] == everything


def test_a_draw_is_uniform_over_the_names() -> None:
    from zooc_runtime.data.source import Item
    from zooc_runtime.data.tar import TarShards

    class Numbers(TarShards):
        def items(self):  # type: ignore[no-untyped-def]
            return (Item(str(number), ()) for number in range(40))

    times = dict.fromkeys(map(str, range(40)), 0)
    for seed in range(400):
        for item in Numbers(("x",)).draw(10, seed)[0]:
            times[item.name] += 1
    # Each is drawn with probability 1/4: 100 times, with a standard deviation of 8.7.
    assert sum((count - 100) ** 2 for count in times.values()) / 75 < 40 + 5 * 80**0.5


def test_the_suffix_selects(forms: Forms, members: list[tuple[str, bytes]]) -> None:
    for form in ("tar", "zip", "pattern", "list"):
        assert len(list(open_source(forms[form], "PNG").items())) == len(members)
        assert list(open_source(forms[form], "jpg").items()) == []


def test_images_are_classified_out_of_an_archive(
    forms: Forms, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(package, ["classify", str(forms["tar"]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert main(package, ["classify", str(forms["folder"]), "--json"]) == 0
    wanted = json.loads(capsys.readouterr().out)
    assert [one["topk"] for one in found] == [one["topk"] for one in wanted]
    assert found[0]["path"] == f"{forms['tar']}/c0/00.png"


def test_labels_by_name_and_by_hugging_faces_class_label(
    forms: Forms,
    members: list[tuple[str, bytes]],
    tmp_path: Path,
    pristine: Callable[..., Path],
    parquet_of: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    birds = ("auk", "boobook", "crane", "dove", "eagle", "finch", "gull")
    package = pristine(labels=birds)
    wanted = counts(package, capsys, forms["list"])
    lines = "".join(f"{forms['folder']}/{name}\t{birds[int(name[1])]}\n" for name, _ in members)
    (tmp_path / "named.txt").write_text(lines)
    assert counts(package, capsys, f"list:{tmp_path / 'named.txt'}") == wanted
    # The file numbers the classes in an order of its own; their names decide.
    turned = birds[::-1]
    path = parquet_of(
        tmp_path / "hf.parquet",
        {
            "image": [{"bytes": content, "path": None} for _, content in members],
            "bird": [6 - int(name[1]) for name, _ in members],
        },
        {"image": {"_type": "Image"}, "bird": {"_type": "ClassLabel", "names": turned}},
    )
    assert counts(package, capsys, path) == wanted
