"""Sources that are mistyped, damaged or hostile: each is refused by name, with the remedy."""

from __future__ import annotations

import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from zooc_runtime.commands.main import main
from zooc_runtime.data import files
from zooc_runtime.data.opening import all_images, open_source
from zooc_runtime.data.place import expand_braces, mask, shown
from zooc_runtime.data.source import NamedImage
from zooc_runtime.errors import PackageError, SourceError

Make = Callable[..., Path]
Members = list[tuple[str, bytes]]


def refused(place: object, *parts: str) -> None:
    with pytest.raises(PackageError) as caught:
        [image.read() for image in all_images(open_source(str(place))) if isinstance(image, NamedImage)]
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert "; " in message, "there is a remedy"


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("val-{0000..00x}.tar", "{0000..00x} is neither a range of whole numbers"),
        ("val-{0000.0063}.tar", "{0000.0063} is neither"),
        ("val-{0000,..3}.tar", "neither"),
        ("val-{0063..0000}.tar", "write {0000..0063}, the smaller number first"),
        ("val-{0000..0063.tar", "a brace has no other half"),
        ("val-0000..0063}.tar", "a brace has no other half"),
        ("val-{{0..1}..2}.tar", "lies in another"),
        ("val-{0..99999999}.tar", "over 1000000 names"),
        ("{0..999}{0..999}{0..9}.tar", "over 1000000 names"),
        ("val/{0..3}.jpg", "braces number archives"),
        ("val.tar.gz", "unpack it to a plain .tar"),
        ("val.tgz", "unpack it to a plain .tar"),
        ("nowhere", "no such folder"),
        ("nowhere.tar", "no such file"),
        ("nowhere-*.zip", "nothing matches"),
        ("list:nowhere.txt", "no such file"),
        ("file:///etc", "file:// is this machine"),
        ("zip://a.jpg::s3://bucket/val.zip", "a chain of file systems"),
    ],
)
def test_a_mistyped_place_is_named_with_its_remedy(place: str, part: str) -> None:
    refused(place, part)


def test_braces_count_as_bash_counts() -> None:
    assert list(expand_braces("v-{08..11}.tar")) == ["v-08.tar", "v-09.tar", "v-10.tar", "v-11.tar"]
    assert list(expand_braces("v-{8..10}.tar")) == ["v-8.tar", "v-9.tar", "v-10.tar"]
    assert list(expand_braces("{a,b}-{0..1}.zip")) == ["a-0.zip", "a-1.zip", "b-0.zip", "b-1.zip"]


@pytest.mark.parametrize(
    "address",
    [
        "s3://key:hush@bucket/val.tar",
        "https://hush@host/val.tar",
        "https://host/val.tar?X-Amz-Signature=hush",
        "https://host/val.tar?hush",
        "abfs://container/val.tar?sv=1&sig=hush",
    ],
)
def test_credentials_are_neither_shown_nor_kept(address: str) -> None:
    for text in (shown(f"{address}: broken"), mask(address)):
        assert "hush" not in text
    assert len(mask(address)) == len(address)
    assert "hush" not in repr(_source(address))


def _source(address: str) -> object:
    try:
        return open_source(address)
    except PackageError as problem:
        return str(problem)


def test_a_password_in_an_address_is_refused_on_the_command_line(
    package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(package, ["eval", "s3://key:hush@bucket/val/*.jpg"]) == 1
    told = capsys.readouterr().err
    assert "leave them out and give them to fsspec" in told
    assert "hush" not in told


@pytest.mark.parametrize("cut", [600, 1500, 1536, 2000])
def test_a_tar_file_that_is_cut_short_is_named(cut: int, tmp_path: Path, tar_of: Make) -> None:
    path = tar_of(tmp_path / "val.tar", [("0.png", bytes(700)), ("1.png", bytes(900))])
    path.write_bytes(path.read_bytes()[:cut])
    refused(path, "val.tar", "fetch")


def test_what_is_no_archive_is_named(tmp_path: Path) -> None:
    for name in ("val.tar", "val.zip", "val.parquet"):
        (tmp_path / name).write_bytes(b"nothing of the kind" * 100)
        refused(tmp_path / name, name, "fetch")
        (tmp_path / name).write_bytes(b"")
        refused(tmp_path / name, name, "again")


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path, tar_of: Make) -> None:
    refused(tar_of(tmp_path / "val.tar", [("a/0.png", b"x"), ("a/0.png", b"y")]), "a/0.png: is there twice")


def test_names_that_lead_out_of_an_archive_lead_nowhere(tmp_path: Path, tar_of: Make, zip_of: Make) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    hostile = [("../../0.png", b"x"), ("/etc/1.png", b"y")]
    for path in (tar_of(inside / "val.tar", hostile), zip_of(inside / "val.zip", hostile)):
        images = all_images(open_source(path))
        assert [image.read() for image in images if isinstance(image, NamedImage)] == [b"x", b"y"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inside", "val.tar", "val.zip"]


def test_links_in_a_tar_file_are_no_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "val.tar", "w") as archive:
        link = tarfile.TarInfo("0.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert all_images(open_source(tmp_path / "val.tar")) == []


def test_a_zip_archive_cut_short_packed_otherwise_or_encrypted(tmp_path: Path, zip_of: Make) -> None:
    path = zip_of(tmp_path / "val.zip", [("0.png", bytes(5000))])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    refused(path, "not a zip archive, damaged or cut short")
    refused(zip_of(tmp_path / "lz.zip", [("0.png", bytes(50))], zipfile.ZIP_LZMA), "packed by method 14")
    place = whole.index(b"PK\x01\x02") + 8
    (tmp_path / "shut.zip").write_bytes(whole[:place] + b"\x01" + whole[place + 1 :])
    refused(tmp_path / "shut.zip", "is encrypted")
    damaged = bytearray(whole)
    damaged[40] ^= 0xFF
    (tmp_path / "damaged.zip").write_bytes(bytes(damaged))
    refused(tmp_path / "damaged.zip", "0.png: damaged or cut short")


def test_a_member_that_inflates_beyond_the_limit_is_not_inflated(
    tmp_path: Path, zip_of: Make, tar_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 1 << 20)
    bomb = bytes(3 << 20)
    path = zip_of(tmp_path / "bomb.zip", [("0.png", bomb)])
    assert path.stat().st_size < 10_000
    refused(path, "3 MiB are no image")
    refused(tar_of(tmp_path / "big.tar", [("0.png", bomb)]), "3 MiB are no image")
    # A table that lies about the size is not believed either.
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, 100)
    (tmp_path / "liar.zip").write_bytes(bytes(content))
    refused(tmp_path / "liar.zip", "damaged or cut short")


def test_a_list_may_have_a_mark_cr_lf_and_blank_lines(tmp_path: Path, members: Members) -> None:
    (tmp_path / "my images").mkdir()
    (tmp_path / "my images/0 1.png").write_bytes(members[0][1])
    (tmp_path / "1.png").write_bytes(members[1][1])
    text = b"\xef\xbb\xbfmy images/0 1.png\r\n\r\n  \r\n./1.png 3\r\n"
    (tmp_path / "val.txt").write_bytes(text)
    items = list(open_source(f"list:{tmp_path / 'val.txt'}").items())
    assert [(item.name, item.label) for item in items] == [("my images/0 1.png", None), ("1.png", "3")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"a.png\nb\xff.png\n", "val.txt:2: is not UTF-8"),
        (b"a.png\n./a.png\n", "lines 1 and 2 are the same image"),
        (b"a.png\n\x00\n", "val.txt:2: holds a NUL character"),
        (b"a.png\n" + b"x" * 70_000, "val.txt:2: a line of more than 65536 bytes"),
        (b"s3://key:hush@bucket/a.png\n", "val.txt:1: s3://bucket/a.png: credentials"),
        (b"file:///etc/a.png\n", "val.txt:1: file:///etc/a.png: file:// is this machine"),
    ],
)
def test_a_list_with_a_mistake_is_refused_by_its_line(text: bytes, part: str, tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_bytes(text)
    refused(f"list:{tmp_path / 'val.txt'}", part)


def test_a_file_that_a_list_names_and_that_is_not_there_is_named_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "val.txt").write_text("\ngone.png\n")
    source = open_source(f"list:{tmp_path / 'val.txt'}")
    with pytest.raises(SourceError, match=r"val.txt:2: .*gone.png: no such file"):
        source.completed(source.draw(None)[0])


def test_a_table_without_images_or_with_another_column_is_told_its_columns(
    tmp_path: Path, parquet_of: Make, members: Members
) -> None:
    plain = parquet_of(tmp_path / "plain.parquet", {"caption": ["a"], "label": [1]})
    refused(plain, "no column of images; its columns are caption, label")
    contents = [content for _, content in members[:2]]
    two = parquet_of(tmp_path / "two.parquet", {"left": contents, "right": contents, "text": ["a", "b"]})
    refused(two, "several columns may be images: left, right", "#image=COLUMN")
    refused(f"{two}#image=rihgt", "no column 'rihgt' (did you mean right?)")
    refused(f"{two}#image=text", "column 'text' holds no images")
    refused(f"{two}#imgae=left", "#imgae=left chooses nothing")
    refused(f"{two}#image=left&label=txt", "no column 'txt' (did you mean text?)")
    assert len(all_images(open_source(f"{two}#image=left&label=text"))) == 2


def test_missing_labels_are_explained_by_what_would_give_them(
    tmp_path: Path,
    parquet_of: Make,
    tar_of: Make,
    members: Members,
    package: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flat = [(name[3:], content) for name, content in members]
    (tmp_path / "val.txt").write_text("".join(f"{name}\n" for name, _ in flat))
    for name, content in flat:
        (tmp_path / name).write_bytes(content)
    table = parquet_of(tmp_path / "val.parquet", {"image": [c for _, c in flat], "kind": [0] * len(flat)})
    for place, remedy in {
        table: "#label=COLUMN",
        tar_of(tmp_path / "val.tar", flat): ".cls member",
        f"list:{tmp_path / 'val.txt'}": "`path label`",
    }.items():
        assert main(package, ["eval", str(place)]) == 1
        told = capsys.readouterr().err
        assert remedy in told
        assert "--truth" in told
    (tmp_path / "truth.txt").write_text("".join(f"{name} 0\n" for name, _ in flat))
    assert main(package, ["eval", str(tmp_path / "val.tar"), "--truth", str(tmp_path / "truth.txt")]) == 0


def test_a_label_that_is_no_class_is_named_with_its_image(
    tmp_path: Path, tar_of: Make, members: Members, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = members[0][1]
    for label, part in (("7", "'7' is neither a class id below 7"), ("owl", "'owl' is neither")):
        path = tar_of(tmp_path / f"{label}.tar", [("0.png", content), ("0.cls", label.encode())])
        assert main(package, ["eval", str(path)]) == 1
        assert f"0.png: its label {part}" in capsys.readouterr().err
    path = tar_of(tmp_path / "half.tar", [("0.png", content), ("0.cls", b"1"), ("1.png", content)])
    assert main(package, ["eval", str(path)]) == 1
    assert "1.png: has no label, but others have" in capsys.readouterr().err
