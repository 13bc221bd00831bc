from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zooc.diagnostics.diagnostic import SourceFile
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse, parse_sound_items
from zooc.frontend.syntax.source import read_source
from zooc.support.limits import MAX_FINDINGS

PIECES = [
    "let",
    "a",
    "=",
    "model",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "f(",
    ",",
    ".",
    "-",
    "*",
    "//",
    "1",
    "2.5",
    '"s"',
    '"',
]
PIECES += [
    "'",
    "\n",
    "#x\n",
    "é",
    ";",
    "\0",
    "quantize",
    "int8",
    "topk",
    "variant",
    "5x",
    "\\",
    "\t",
    "\r\n",
    "\ufeff",
]


def tree_of(text: str) -> ast.File:
    tree, diagnostics = parse(SourceFile("test.zoo", text))
    assert tree is not None, diagnostics
    return tree


def quoted(text: str) -> str:
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}
    return '"' + "".join(escapes.get(char, char) for char in text) + '"'


def test_the_designs_example_parses() -> None:
    tree = tree_of(
        "let size = 224\nmodel { source timm.x weights pretrained input [batch, 3, size, size] }\n"
        'preprocess vdsp("p.json")\nquantize int8 { keep fp32 ["fc"] }\n'
        'postprocess { softmax  topk 5  labels "x" }\nvariant b { size = 256  model.source = timm.y }\n'
    )
    names = [item.name.text for item in tree.items if isinstance(item, ast.Let | ast.Block)]
    assert names == ["size", "model", "preprocess", "quantize", "postprocess", "variant"]
    post = tree.items[4]
    assert isinstance(post, ast.Block)
    assert [entry.name.text for entry in post.entries or () if isinstance(entry, ast.Statement)] == [
        "softmax",
        "topk",
        "labels",
    ]


def test_a_negative_value_is_not_a_subtraction_from_the_statement() -> None:
    block = tree_of("postprocess { topk -5 + 2 * 3  softmax }").items[0]
    assert isinstance(block, ast.Block)
    assert block.entries is not None
    topk = block.entries[0]
    assert isinstance(topk, ast.Statement)
    assert topk.name.text == "topk"
    assert isinstance(topk.values[0], ast.Chain)
    assert isinstance(topk.values[0].operands[0], ast.Negate)


def test_a_column_one_path_inside_a_variant_is_no_new_block() -> None:
    assert len(tree_of("variant x {\nmodel.source = timm.y\n}\n").items) == 1


def test_spans_cover_the_text_they_came_from() -> None:
    let = tree_of("let  size = (1 + 2) * -3 # end").items[0]
    assert isinstance(let, ast.Let)
    assert let.span.text == "let  size = (1 + 2) * -3"
    assert let.value.span.text == "(1 + 2) * -3"


@pytest.mark.parametrize(
    "text",
    [
        'a"b',
        "{{ x }}",
        "{% raw %}",
        "}",
        "\n}\nmodel {",
        "import os; os.system('x')",
        "# no comment",
        "[/bold]",
        "\\n",
    ],
)
def test_strings_keep_what_other_languages_would_take_for_code(text: str) -> None:
    let = tree_of(f"let a = {quoted(text)}\nlet b = 1").items[0]
    assert isinstance(let, ast.Let)
    assert isinstance(let.value, ast.String)
    assert let.value.value == text


@given(st.text(st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_any_string_survives_parsing(text: str) -> None:
    let = tree_of(f"let a = {quoted(text)}").items[0]
    assert isinstance(let, ast.Let)
    assert isinstance(let.value, ast.String)
    assert let.value.value == text


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join)))
def test_any_text_gives_a_tree_or_diagnostics(text: str) -> None:
    tree, diagnostics = parse(SourceFile("test.zoo", text))
    assert (tree is None) == bool(diagnostics)
    for diagnostic in diagnostics:
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
    if tree is not None:
        formatted = format_source(text)
        assert format_source(formatted) == formatted


def test_very_long_expressions_are_no_deep_recursion() -> None:
    assert tree_of("let a = " + " + ".join(["1"] * 9000)).items
    assert tree_of("let a = " + "-" * 15_000 + "1").items


def test_every_top_level_item_reports_its_own_syntax_error() -> None:
    _, diagnostics = parse(SourceFile("x.zoo", "let = 1\nmodel { , }\nlet b = 2\npackage { name [ }\n"))
    assert [d.span.position()[0] for d in diagnostics if d.span] == [1, 2, 4]


def test_a_file_of_another_kind_does_not_flood_the_terminal() -> None:
    _, diagnostics = parse(SourceFile("x.zoo", ";x" * 500))
    assert len(diagnostics) == MAX_FINDINGS


def test_crlf_and_tabs_and_a_leading_bom_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "a.zoo"
    file.write_bytes(b"\xef\xbb\xbfmodel {\r\n\tclasses 10\r\n}\r\n")
    source, diagnostics = read_source(file)
    assert source is not None
    assert not diagnostics
    assert tree_of(source.text).items


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [(b"let a = 1\n\xff", "Z0008", "0xff at offset 10 (line 2)"), (b"#" * 1_000_001, "Z0009", "1,000,000")],
)
def test_unreadable_content_is_named(tmp_path: Path, content: bytes, code: str, words: str) -> None:
    file = tmp_path / "a.zoo"
    file.write_bytes(content)
    source, (finding,) = read_source(file)
    assert source is None
    assert finding.code == code
    assert words in finding.message


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "right.zoo").write_text("", encoding="utf-8")
    _, (missing,) = read_source(tmp_path / "wrong.zoo")
    _, (folder,) = read_source(tmp_path)
    _, (nul,) = read_source("a\0b")
    assert missing.code == folder.code == nul.code == "Z0007"
    assert "right.zoo" in (missing.hint or "")
    assert "folder" in folder.message


def test_all_ascii_names_parse() -> None:
    tree_of(f"let {string.ascii_letters}_9 = 1")


def test_the_sound_items_of_a_broken_text_are_those_that_parse_alone() -> None:
    text = "let a = 1\nmodel { source [\nlet b = a\npostprocess { softmax }\nquantize int8 { calibrate ="
    found = parse_sound_items(SourceFile("x.zoo", text)).items
    assert [item.name.text for item in found if not isinstance(item, ast.Assignment)] == [
        "a",
        "b",
        "postprocess",
    ]
    assert parse_sound_items(SourceFile("x.zoo", "")).items == ()


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='let a={}[]()\n"1+.:#variant model', max_size=60))
def test_the_sound_items_of_a_sound_text_are_all_of_them(text: str) -> None:
    source = SourceFile("x.zoo", text)
    tree, _ = parse(source)
    sound = parse_sound_items(source)
    assert tree is None or sound.items == tree.items
