"""Whatever is on the screen while one types, every answer comes, and in time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from zooc.editor.completion import complete
from zooc.editor.document import Document
from zooc.editor.fixes import replacements
from zooc.editor.names import definition, hover, references, symbols

ROOT = Path(__file__).parents[2]
EXAMPLES = [*sorted((ROOT / "examples").rglob("*.zoo"))]
MISTAKES = sorted((ROOT / "tests" / "errors").glob("*.zoo"))


def _ask_everything(document: Document, offset: int) -> None:
    for finding in document.findings:
        if finding.span is not None:
            document.position(finding.span.end)
    complete(document, offset)
    hover(document, offset)
    definition(document, offset)
    references(document, offset)
    symbols(document)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_prefix_of_an_example_is_answered(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    step = max(len(text) // 60, 1)
    for end in range(0, len(text) + 1, step):
        document = Document(example, text[:end])
        _ask_everything(document, end)
        assert document.findings or end == 0 or document.is_sound


def test_a_text_with_a_hole_anywhere_is_answered() -> None:
    text = EXAMPLES[0].read_text(encoding="utf-8")
    for start in range(0, len(text), max(len(text) // 60, 1)):
        _ask_everything(Document(EXAMPLES[0], text[:start] + text[start + 7 :]), start)


@pytest.mark.parametrize(
    "text", ["\ufeff", "\0", '"', "{" * 60, "variant", "heads { a", "let", "let a = ", "\r"]
)
def test_odd_texts_are_answered(text: str) -> None:
    for offset in range(len(text) + 1):
        _ask_everything(Document(Path("odd.zoo"), text), offset)


def test_every_fix_removes_its_mistake() -> None:
    fixed = 0
    for file in MISTAKES:
        try:
            text = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        document = Document(file, text)
        for finding in document.findings:
            for replacement in replacements(finding)[:1]:
                assert finding.span is not None
                start, end = finding.span.start, finding.span.end
                better = Document(file, text[:start] + replacement + text[end:])
                same = [
                    f for f in better.findings if f.span and (f.code, f.span.start) == (finding.code, start)
                ]
                assert not same, f"{file.name}: {replacement}"
                fixed += 1
    assert fixed > 10


def test_a_long_file_is_analyzed_in_time() -> None:
    lets = "".join(f"let name{i} = {i} + 1\n" for i in range(450))
    text = f"{lets}{EXAMPLES[0].read_text(encoding='utf-8')}"
    Document(EXAMPLES[0], text).findings  # noqa: B018 - reads the grammar
    start = time.process_time()
    document = Document(EXAMPLES[0], f"{text}# changed\n")
    _ask_everything(document, len(text) // 2)
    assert time.process_time() - start < 1.0  # a tenth of this alone on a machine, see benchmarks/lsp.py
