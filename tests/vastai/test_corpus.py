"""Every file of the field gets a right answer: imported, imported with warnings, or refused with a reason."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from zooc.deployment import ModelSource, Preprocess
from zooc.diagnostics.diagnostic import Diagnostic
from zooc.frontend.semantics.analyze import load_deployment
from zooc.frontend.syntax.formatter import format_source
from zooc.networks.recipes.official import official_recipe
from zooc.vastai.export_vdsp import vdsp_document
from zooc.vastai.import_files import import_files

DATA = Path(__file__).parent / "data"
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"

REFUSED = {
    "official_yolov12_int8.yaml": ("Z0804", "yolov12_nms"),
    "official_yolov6.yaml": ("Z0804", "nms_threshold"),
    "image_build.yaml": ("Z0804", "2 inputs"),
    "reranker_config_int8.yaml": ("Z0804", "input_ids"),
    "official_ecbsr.yaml": ("Z0804", "COLOR_RGB2YCrCb"),
    "text-vdsp_params.json": ("Z0311", "BERT_EMBEDDING_OP"),
}


def recipe_of(source: ModelSource) -> tuple[Preprocess, int, int] | None:
    """The recipes that need no torch."""
    if source.kind != "official":
        return None
    recipe = official_recipe(source)
    return recipe.preprocess, recipe.height, recipe.width


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix in (".yaml", ".json"))


def answer(file: Path, scratch: Path) -> tuple[str, tuple[Diagnostic, ...]]:
    """What became of a file; a result must be formatted and pass the check."""
    imported = import_files(file, recipe_of=recipe_of)
    if imported.text is None:
        assert any(finding.severity == "error" for finding in imported.diagnostics)
        return "refused", imported.diagnostics
    assert all(finding.severity == "warning" for finding in imported.diagnostics)
    assert format_source(imported.text) == imported.text
    result = scratch / f"{file.stem.replace(' ', '_')}.zoo"
    result.write_text(imported.text, encoding="utf-8")
    deployment, findings = load_deployment(result, may_miss_files=True)
    assert deployment is not None, findings
    assert {finding.code for finding in findings} <= {"Z0119"}
    if file.suffix == ".json":
        _comes_back(file, deployment.preprocess, scratch)
    return ("imported with warnings" if imported.diagnostics else "imported"), imported.diagnostics


def _comes_back(file: Path, preprocess: Preprocess | None, scratch: Path) -> None:
    """The exported JSON means the same, and is the same where the file says nothing superfluous."""
    assert preprocess is not None
    document, changes = vdsp_document(preprocess)
    assert changes == []
    again = scratch / "again.json"
    again.write_text(json.dumps(document), encoding="utf-8")
    text = import_files(again).text
    assert text is not None
    result = scratch / "again.zoo"
    result.write_text(text, encoding="utf-8")
    deployment, _ = load_deployment(result, may_miss_files=True)
    assert deployment is not None
    assert deployment.preprocess == preprocess
    original = json.loads(file.read_text(encoding="utf-8"))
    if "CropX" in original["OpConfig"] and original["OpConfig"]["NormaType"].endswith("DIVSTD"):
        assert document == original
        assert list(document["OpConfig"]) == list(original["OpConfig"])


def table(rows: list[tuple[str, str, tuple[Diagnostic, ...]]]) -> str:
    lines = []
    for name, outcome, findings in rows:
        lines.append(f"{outcome:22}  {name}")
        for finding in findings:
            place = f"{finding.span.position()[0]}:{finding.span.position()[1]}: " if finding.span else ""
            lines.append(f"{'':24}{finding.severity} {finding.code} {place}{finding.message}")
    counts = Counter(outcome for _, outcome, _ in rows)
    return "\n".join([*lines, ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))])


@pytest.mark.parametrize("file", files(DATA), ids=lambda file: file.name)
def test_a_file_gets_the_right_answer(file: Path, tmp_path: Path) -> None:
    outcome, findings = answer(file, tmp_path)
    if file.name in REFUSED:
        code, words = REFUSED[file.name]
        assert outcome == "refused"
        found = [f for f in findings if f.code == code and words in f.message]
        assert found and found[0].span is not None
    else:
        assert outcome != "refused", findings


def test_the_whole_corpus_gets_answers(tmp_path: Path) -> None:
    """Prints the table (`pytest -s`)."""
    if not CORPUS.is_dir():
        pytest.skip("the corpus does not lie beside this checkout (../shared/corpus)")
    rows = []
    for file in files(CORPUS):
        name = file.relative_to(CORPUS).as_posix()
        outcome, findings = answer(file, tmp_path)
        rows.append((name, outcome, findings))
        if "/classification/" in f"/{name}":
            assert outcome != "refused", (name, findings)
    print(f"\n{table(rows)}")
    assert len(rows) > 200
