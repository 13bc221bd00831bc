"""`report.json`, the page and the model card made of it, and `zooc report`."""

from __future__ import annotations

import hashlib
import html.parser
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from zooc.cli.app import app
from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.package.manifest import MANIFEST, MANIFEST_HASH, manifest_hash_line

EVIL = "</script><img src=x onerror=alert(1)>"
NAMES = [EVIL, "a | `b` \\", "[c](http://d) <b>", "{{ 7*191 }} ${e}"]


def compiled(project: Path, folder: Path, **replaced: str) -> Path:
    """The tiny project's package with parts of its description replaced."""
    text = (project / "tiny.zoo").read_text("utf-8")
    for old, new in replaced.items():
        known = {"labels": 'labels "labels.txt"', "calibrate": "calibrate percentile(99.99)"}[old]
        assert known in text
        text = text.replace(known, new)
    file = project / f"{folder.name}.zoo"
    file.write_text(text, "utf-8")
    return compile_package(Request(file, folder), Context(Cache(None), Progress())).folder


@pytest.fixture(scope="module")
def package(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(project, tmp_path_factory.mktemp("report") / "tiny")


@pytest.fixture(scope="module")
def evil(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Poor int8, and names with markup in them."""
    (project / "evil.txt").write_text("\n".join(NAMES), "utf-8")
    return compiled(
        project,
        tmp_path_factory.mktemp("report") / "evil",
        labels='labels "evil.txt"',
        calibrate="calibrate percentile(30)  corrections []  warn below(agreement=100%, sqnr=60)",
    )


@pytest.fixture
def copied(package: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(package, tmp_path / "copy"))


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(code: str, *arguments: object) -> str:
    """What the command says as it ends with exit code 1 and this code."""
    done = run(*arguments)
    assert done.exit_code == 1, done.output
    assert f"error[{code}]" in done.output
    return " ".join(done.output.split())


def rehash(package: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest as one who knows of its hash would."""
    inner = next(package.glob(f"*/{MANIFEST}")).parent
    document = json.loads((inner / MANIFEST).read_text("utf-8"))
    change(document)
    content = json.dumps(document).encode()
    (inner / MANIFEST).write_bytes(content)
    (inner / MANIFEST_HASH).write_bytes(manifest_hash_line(content))


class _Page(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_data_are_hashed_bounded_and_true(package: Path) -> None:
    manifest = json.loads((package / "tiny" / MANIFEST).read_text("utf-8"))
    content = (package / "report.json").read_bytes()
    assert manifest["distribution_files"]["report.json"]["sha256"] == hashlib.sha256(content).hexdigest()
    data = json.loads(content)
    assert data["model"]["sha256"] == manifest["files"]["model.onnx"]["sha256"]
    layers = {layer["name"]: layer for layer in data["layers"]}
    assert {"stem/Conv", "block/Conv", "fc/Gemm"} <= layers.keys()
    assert all(20 < layers[name]["db"] < 80 for name in ("stem/Conv", "block/Add"))
    assert all(len(layer["histogram"]) == 64 for layer in layers.values() if "histogram" in layer)
    assert data["scatter"]["of"] == len(data["scatter"]["points"]) == 12 * 4
    assert data["picture"]["seen_size"] == [32, 32]
    assert data["picture"]["given"].startswith("data:image/jpeg;base64,")


def test_zooc_report_writes_the_very_bytes_of_the_compile(package: Path, tmp_path: Path) -> None:
    done = run("report", package, "-o", tmp_path / "again.html")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "again.html").read_bytes() == (package / "report.html").read_bytes()
    message = refused("Z0661", "report", package, "-o", tmp_path / "again.html")
    assert "--force" in message
    assert run("report", package / "tiny", "-o", tmp_path / "again.html", "--force", "-q").exit_code == 0


def test_the_page_allows_only_its_own_script_and_style(package: Path) -> None:
    page = (package / "report.html").read_text("utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert "default-src &#39;none&#39;" in policy and "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page.partition("<h2>How to reproduce it")[0])
    assert " style=" not in page


def test_markup_in_names_stays_text(evil: Path) -> None:
    data = json.loads((evil / "report.json").read_text("utf-8"))
    assert data["pairs"] and data["parted"]
    said = {name for pair in data["pairs"] for name in pair[:2]}
    assert said <= set(NAMES)
    page = _Page((evil / "report.html").read_text("utf-8"))
    assert page.tags.count("script") == 2 and "onerror" not in page.attributes
    assert page.tags.count("img") == 2 + len(data["parted"])
    assert all(name in page.text for name in said) and "1337" not in page.text
    card = run("report", evil, "--format", "markdown").output
    body = card.partition("### Answers that part")[2].partition("##")[0]
    assert not re.search(r"(?<!\\)[<>`]", body)
    rows = [line for line in body.splitlines() if line.startswith("| ")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 4 for row in rows)


def test_the_model_card_begins_with_yaml(evil: Path, tmp_path: Path) -> None:
    assert run("report", evil, "--format", "markdown", "-o", tmp_path / "card.md").exit_code == 0
    _, front, body = (tmp_path / "card.md").read_text("utf-8").split("---\n", 2)
    known = yaml.safe_load(front)
    assert known == {
        "library_name": "onnx",
        "pipeline_tag": "image-classification",
        "tags": ["zooc", "onnx", "int8"],
        "model_name": "tiny",
    }
    assert body.startswith("\n# tiny 1.2.3\n") and "| Accuracy | **poor** |" in body


def test_json_is_one_object(package: Path, tmp_path: Path) -> None:
    document = json.loads(run("report", package, "--format", "json").output)
    assert document["ok"] and document["missing"] is None
    assert document["report"] == json.loads((package / "report.json").read_text("utf-8"))
    written = json.loads(run("report", package, "--format", "json", "-o", tmp_path / "a.json").output)
    assert written["bytes"] == (tmp_path / "a.json").stat().st_size
    assert json.loads(run("report", tmp_path, "--format", "json").output)["diagnostics"][0]["code"] == "Z0662"


def test_analyze_measures_every_layer(package: Path, project: Path, tmp_path: Path) -> None:
    place = tmp_path / "net.html"
    done = run("report", package, "--analyze", "--on", project / "images", "--count", 4, "-o", place, "-q")
    assert done.exit_code == 0, done.output
    page = place.read_text("utf-8")
    assert "Error of each result" in page
    (block,) = re.findall(r'class="layer-data">(.*?)</script>', page)
    layers = {layer["name"]: layer for layer in json.loads(block)}
    assert {"db", "result", "alone"} <= layers["stem/Conv"].keys()
    assert {"result", "alone"} <= layers["fc/Gemm"].keys()


def test_a_package_without_images_and_labels_says_what_is_missing(project: Path, tmp_path: Path) -> None:
    text = (project / "tiny.zoo").read_text("utf-8").replace('labels "labels.txt"', "")
    (project / "float.zoo").write_text(text, "utf-8")
    request = Request(project / "float.zoo", tmp_path / "out", overrides=("quantize=fp32",))
    compile_package(request, Context(Cache(None), Progress()))
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "No picture: no calibration image was at hand." in page
    assert "classes without names" in page and "float32, as it was given" in page
    message = refused("Z0663", "report", tmp_path / "out", "--analyze", "--on", project / "images")
    assert "computes in fp32" in message


def test_an_old_package_says_what_is_missing(copied: Path, project: Path, tmp_path: Path) -> None:
    (copied / "report.json").unlink()
    rehash(copied, lambda manifest: manifest["distribution_files"].pop("report.json"))
    done = run("report", copied, "-o", tmp_path / "old.html")
    assert done.exit_code == 0, done.output
    assert "no report.json" in done.output
    page = (tmp_path / "old.html").read_text("utf-8")
    assert "compile the package again to have them" in page and "12 calibration images" in page
    assert "Compile the package again" in run("report", copied, "--format", "markdown").output
    wanted = ("--analyze", "--on", project / "images", "--count", 2, "-o", tmp_path / "more.html")
    assert run("report", copied, *wanted).exit_code == 0
    assert "Sensitivity" in (tmp_path / "more.html").read_text("utf-8")


def test_an_installed_package_says_where_the_data_are(copied: Path, tmp_path: Path) -> None:
    installed = Path(shutil.copytree(copied / "tiny", tmp_path / "site-packages" / "tiny"))
    done = run("report", installed, "-o", tmp_path / "a.html")
    assert done.exit_code == 0 and "the folder that zooc compile wrote" in " ".join(done.output.split())


@pytest.mark.parametrize("file", ["report.json", f"tiny/{MANIFEST}"])
def test_a_changed_file_is_refused(copied: Path, file: str) -> None:
    content = (copied / file).read_bytes()
    (copied / file).write_bytes(content.replace(b"int8", b"int9", 1))
    assert file.rpartition("/")[2] in refused("Z0662", "report", copied)
    assert not Path("tiny-report.html").exists()


@pytest.mark.parametrize("key", ["quantization", "model", "preprocess", "tools", "postprocess", "source"])
@pytest.mark.parametrize("value", [[], "text"])
def test_a_manifest_of_another_form_is_refused(copied: Path, key: str, value: object, tmp_path: Path) -> None:
    rehash(copied, lambda manifest: manifest.update({key: value}))
    assert "zooc writes" in refused("Z0662", "report", copied, "-o", tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


def replace_data(package: Path, content: bytes) -> None:
    """Put other data beside a package, as one who knows of the hashes would."""
    (package / "report.json").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    rehash(package, lambda manifest: manifest["distribution_files"].update({"report.json": entry}))


@pytest.mark.parametrize(
    "key, value",
    [("layers", [{"name": 1}]), ("scatter", {"points": [["a", "b"]]}), ("words", 3), ("schema", 9)],
)
def test_data_of_another_form_are_refused(copied: Path, key: str, value: object, tmp_path: Path) -> None:
    data = {**json.loads((copied / "report.json").read_text("utf-8")), key: value}
    replace_data(copied, json.dumps(data).encode())
    refused("Z0662", "report", copied, "-o", tmp_path / "a.html")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_data_that_are_no_object_are_refused(copied: Path, content: bytes, tmp_path: Path) -> None:
    replace_data(copied, content)
    assert "report.json" in refused("Z0662", "report", copied, "-o", tmp_path / "a.html")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--analyze",), "--on FOLDER"),
        (("--on", "images"), "--analyze"),
        (("--format", "markdown", "--open"), "markdown"),
        (("--format", "htm"), "'htm'"),
        (("--count", "0"), "--count"),
        (("--opne",), "--open"),
    ],
)
def test_options_that_do_not_go_together(package: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run("report", package, *arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_open_shows_the_page(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(asked.append(address)))
    done = run("report", package, "-o", tmp_path / "a b.html", "--open")
    assert done.exit_code == 0
    assert asked == [(tmp_path / "a b.html").as_uri()]
    assert "no browser could be started" in done.output


def test_compare_shows_both_side_by_side(package: Path, evil: Path, project: Path, tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    other = Path(shutil.copytree(package, tmp_path / "other"))
    done = run("compare", package, other, "--on", project / "images", "-o", page)
    assert done.exit_code == 0, done.output
    text = page.read_text("utf-8")
    assert text.count('class="layer-data"') == 2 and text.count('class="verdicts"') == 2
    assert "Both say the same of every image." in text
    (other / "report.json").write_bytes(b"{}")
    assert "report.json" in refused(
        "Z0662", "compare", package, other, "--on", project / "images", "-o", tmp_path / "b.html"
    )
