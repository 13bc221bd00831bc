"""Every feature of `zooc lsp`, through a real client over standard input and output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcException

if TYPE_CHECKING:
    from tests.editor.conftest import Editor

GOOD = """\
let size = 224
let large = size + 32
model { source timm.resnet50  weights pretrained  input [batch, 3, size, size]  classes 1000 }
preprocess { Resize(large)  CenterCrop(size)  ToTensor() }
postprocess { softmax  topk 5  labels imagenet1k }
variant small { size = 112  model.source = timm.resnet18 }
"""


def test_findings_come_while_one_types_and_go_when_the_text_is_right(editor: Editor) -> None:
    file = editor.open(GOOD.replace("CenterCrop", "CentreCrop"))
    (finding,) = editor.findings(file.uri, 1)
    assert (finding.code, finding.source, file.shows(finding.range)) == ("Z0104", "zooc", "CentreCrop")
    assert "did you mean `CenterCrop`" in finding.message
    for version, text in enumerate((GOOD[:40], GOOD[:60], GOOD), 2):
        file.change(text, version)
    assert editor.findings(file.uri, 2) == []
    assert [p.version for p in editor.published[file.uri]] == [1, 4]  # one answer to three quick keys
    editor.client.text_document_did_close(lsp.DidCloseTextDocumentParams(file.document))
    assert editor.findings(file.uri, 3) == []


def test_columns_are_utf_16_behind_an_emoji(editor: Editor) -> None:
    for after, code, place in (("", "Z0119", '"😀🦓.txt"'), ("  labls 3", "Z0114", "labls")):
        file = editor.open(GOOD.replace("labels imagenet1k", f'labels "😀🦓.txt"{after}'))
        (finding,) = editor.findings(file.uri, 1)
        assert (finding.code, file.shows(finding.range)) == (code, place)


def test_lines_end_where_the_protocol_ends_them(editor: Editor) -> None:
    file = editor.open(f"# one\u2028two\x0cthree\r\n{GOOD}let unused = 1\n")
    (finding,) = editor.findings(file.uri, 1)
    assert finding.range.start == lsp.Position(7, 4)
    assert list(finding.tags or ()) == [lsp.DiagnosticTag.Unnecessary]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("|", {"model", "let", "variant"}, {"source", "Resize("}),
        (GOOD + "|", {"quantize", "heads"}, {"model"}),
        ("model { | }", {"source", "weights"}, {"topk"}),
        ("model { source onnx(\"net.onnx\") | }", {"weights"}, {"source"}),
        ("model { sou|", {"source"}, {"model"}),
        ("model { source |", {"timm.", "torchvision.", "onnx("}, {"weights"}),
        ("model { source official.|", {"resnest50", "iresnet200"}, {"timm."}),
        ("model { source torchvision.wide_res|", {"wide_resnet50_2"}, set()),
        ("model { source onnx(\"|\")", {"net.onnx", "images/"}, {"labels.txt"}),
        ("let side = 3\nmodel { input [batch, 3, |", {"side", "batch"}, {"source"}),
        ("preprocess { Re|", {"Resize(", "ToTensor()"}, {"model"}),
        ("let side = 3\npreprocess { Resize(|", {"size=", "interpolation=", "side"}, {"fill="}),
        ("preprocess { Resize(256, interpolation=|", {"bicubic", "lanczos"}, {"pillow", "size="}),
        ("preprocess { Resize(256, library=opencv, |", {"antialias="}, {"library="}),
        ("preprocess {\n  Resize(\nquantize int8 { cal|", {"calibrate"}, {"Resize("}),
        ("quantize |", {"int8", "fp16"}, {"calibrate"}),
        ("quantize int8 { calibrate |", {"auto", "auto(", "mse"}, {"data"}),
        ("quantize int8 { calibrate auto(effort=|", {"high"}, {"mse"}),
        ("quantize int8 { corrections [bias, |", {"rounding"}, {"data"}),
        ("quantize int8 { target cpu(|", {"vnni"}, set()),
        ("quantize int8 { require |", {"drop", "latency"}, {"data"}),
        ("quantize int8 { require drop <= 1% on |", {"images("}, {"this_machine("}),
        ("quantize int8 { require drop <= 1% on images(\"images\", labels=|", {"folders"}, set()),
        ("quantize int8 { require latency <= 8 |", {"ms", "on"}, {"images("}),
        ("quantize int8 { require throughput >= 9/s on |", {"this_machine("}, {"images("}),
        ("quantize int8 { keep fp32 |", {"auto"}, {"fp32"}),
        ("postprocess { labels \"|", {"labels.txt"}, {"net.onnx"}),
        ("heads { age: softmax |", {"topk", "output"}, {"softmax"}),
        ("package { engines [|", {"openvino"}, {"name"}),
        ("let side = 3\nvariant a { |", {"side", "model.source", "quantize"}, {"let"}),
        ("variant a { model.|", {"source"}, {"topk"}),
        ("variant a { quantize.calibrate = |", {"mse"}, {"model.source"}),
        ("# |", set(), {"model"}),
        ("model { classes 10|", set(), {"source"}),
    ],
)  # fmt: skip
def test_completion(editor: Editor, text: str, wanted: set[str], unwanted: set[str]) -> None:
    file = editor.open(text)
    found = editor.wait(editor.client.text_document_completion_async(lsp.CompletionParams(**file.at())))
    labels = {item.label for item in found.items}
    assert wanted <= labels
    assert not unwanted & labels


def test_a_completion_replaces_what_is_typed_and_says_what_it_means(editor: Editor) -> None:
    file = editor.open("# 😀\nmodel { sou|rce }")
    found = editor.wait(editor.client.text_document_completion_async(lsp.CompletionParams(**file.at())))
    item = next(item for item in found.items if item.label == "source")
    assert file.shows(item.text_edit.range) == "sou"
    assert item.detail == "source timm.resnest50d"
    assert "`torchvision.NAME`" in item.documentation.value


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("Resize(lar|ge)", "`large = 256`"),
        ("Re|size(large)", "the shorter side to `n`"),
        ("ToTe|nsor()", "pixels from 0 to 1"),
        ("weigh|ts pretrained", "`pretrained` or `random(seed=0)`"),
        ("let large = size |+ 32", "`256`"),
        ("let si|ze = 224", "`112` in variant `small`"),
        ("labels image|net1k", "TensorFlow's 1001 classes"),
        ("post|process", "What becomes of the network's output"),
    ],
)
def test_hover(editor: Editor, place: str, says: str) -> None:
    file = editor.open(GOOD.replace(place.replace("|", ""), place))
    found = editor.wait(editor.client.text_document_hover_async(lsp.HoverParams(**file.at())))
    assert says in found.contents.value


@pytest.mark.parametrize(
    ("place", "line"),
    [("Resize(lar|ge)", 1), ("let large = si|ze", 0), ("{ si|ze = 112", 0), ("model.sou|rce =", 2)],
)
def test_definition(editor: Editor, place: str, line: int) -> None:
    file = editor.open(GOOD.replace(place.replace("|", ""), place))
    found = editor.wait(editor.client.text_document_definition_async(lsp.DefinitionParams(**file.at())))
    assert found.range.start.line == line


def test_references_are_those_of_the_name_and_not_of_the_word(editor: Editor) -> None:
    file = editor.open(GOOD.replace("CenterCrop(si", "CenterCrop(size=si|"))
    request = lsp.ReferenceParams(lsp.ReferenceContext(True), **file.at())
    found = editor.wait(editor.client.text_document_references_async(request))
    assert [file.shows(one.range) for one in found] == ["size"] * 6
    assert found[0].range.start == lsp.Position(0, 4)


def test_rename_changes_every_use_and_nothing_else(editor: Editor) -> None:
    file = editor.open(GOOD.replace("let si", "let si|"))
    request = lsp.RenameParams(text_document=file.document, position=file.here, new_name="side")
    edit = editor.wait(editor.client.text_document_rename_async(request))
    edits = edit.changes[file.uri]
    assert len(edits) == 6
    lines = file.text.splitlines(keepends=True)
    for one in sorted(edits, key=lambda e: (e.range.start.line, -e.range.start.character)):
        line = lines[one.range.start.line]
        lines[one.range.start.line] = (
            line[: one.range.start.character] + one.new_text + line[one.range.end.character :]
        )
    renamed = editor.open("".join(lines))
    assert editor.findings(renamed.uri, 1) == []
    assert not re.search(r"\bsize\b", renamed.text)


@pytest.mark.parametrize(
    ("new", "why"),
    [
        ("2nd", "no name"),
        ("", "no name"),
        ("größe", "no name"),
        ("large", "defined already"),
        ("int8", "word of the language"),
        ("topk", "word of the language"),
    ],
)
def test_rename_refuses_what_would_change_the_meaning(editor: Editor, new: str, why: str) -> None:
    file = editor.open(GOOD.replace("let si", "let si|"))
    request = lsp.RenameParams(text_document=file.document, position=file.here, new_name=new)
    with pytest.raises(JsonRpcException, match=why):
        editor.wait(editor.client.text_document_rename_async(request))


def test_only_names_of_let_are_renamed(editor: Editor) -> None:
    file = editor.open(GOOD.replace("Resize", "Res|ize"))
    request = lsp.PrepareRenameParams(**file.at())
    assert editor.wait(editor.client.text_document_prepare_rename_async(request)) is None
    file = editor.open(GOOD.replace("Resize(la", "Resize(la|"))
    request = lsp.PrepareRenameParams(**file.at())
    assert file.shows(editor.wait(editor.client.text_document_prepare_rename_async(request))) == "large"


def test_symbols_of_a_half_typed_file_are_those_that_can_be_told(editor: Editor) -> None:
    file = editor.open(GOOD + "package {\n  name [1,")
    request = lsp.DocumentSymbolParams(file.document)
    found = editor.wait(editor.client.text_document_document_symbol_async(request))
    assert [(s.name, s.detail) for s in found[:2]] == [("size", "224"), ("large", "256")]
    assert [s.name for s in found[2:]] == ["model", "preprocess", "postprocess", "small"]
    assert [child.name for child in found[3].children] == ["Resize", "CenterCrop", "ToTensor"]


def test_formatting_is_that_of_fmt(editor: Editor) -> None:
    file = editor.open('# 😀\nmodel{source   onnx( "net.onnx" )}')
    request = lsp.DocumentFormattingParams(file.document, lsp.FormattingOptions(4, True))
    (edit,) = editor.wait(editor.client.text_document_formatting_async(request))
    assert edit.new_text == '# 😀\nmodel { source onnx("net.onnx") }\n'
    assert file.shows(edit.range) == file.text
    broken = editor.open("model {")
    request = lsp.DocumentFormattingParams(broken.document, lsp.FormattingOptions(4, True))
    assert editor.wait(editor.client.text_document_formatting_async(request)) is None


def test_a_fix_replaces_the_misspelt_word(editor: Editor) -> None:
    file = editor.open(GOOD.replace("softmax", "softmx"))
    (finding,) = editor.findings(file.uri, 1)
    request = lsp.CodeActionParams(file.document, finding.range, lsp.CodeActionContext([finding]))
    (action,) = editor.wait(editor.client.text_document_code_action_async(request))
    (edit,) = action.edit.changes[file.uri]
    assert (file.shows(edit.range), edit.new_text, action.is_preferred) == ("softmx", "softmax", True)


def test_a_text_that_was_never_saved_is_checked(editor: Editor) -> None:
    editor.client.text_document_did_open(
        lsp.DidOpenTextDocumentParams(lsp.TextDocumentItem("untitled:Untitled-1", "zoo", 1, "modle { }"))
    )
    codes = {finding.code for finding in editor.findings("untitled:Untitled-1", 1)}
    assert codes == {"Z0102", "Z0108"}
