from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zooc.diagnostics.diagnostic import SourceFile, ZoocError
from zooc.frontend.syntax.formatter import format_source
from zooc.frontend.syntax.parser import parse

UGLY = """
#header
let size=224   #the side


model
{
source    timm.x   # where
    input [ batch,3 ,size , - size ]
  # inside
}
preprocess{ Resize( size+32,interpolation = bicubic ) ToTensor() }
quantize int8 {
keep fp32
[ "a",
"b" ]
}
postprocess { softmax topk -5 labels "x" }
preprocess { }
#!bang
"""

NEAT = """\
# header
let size = 224  # the side

model {
  source timm.x  # where
  input [batch, 3, size, -size]
  # inside
}
preprocess { Resize(size + 32, interpolation=bicubic)  ToTensor() }
quantize int8 {
  keep fp32
    ["a",
      "b"]
}
postprocess { softmax  topk -5  labels "x" }
preprocess {}
#!bang
"""

names = st.sampled_from(["size", "a", "b_1", "timm.resnet50", "batch"])
numbers = st.sampled_from(["1", "224", "0.5", "1e-3", "-3", '"a # b"', '"{"'])
values = st.recursive(
    st.one_of(names, numbers),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{' , '.join(items)}]"),
        st.tuples(inner, st.sampled_from(["+", " -", "*", " //", "%"]), inner).map(" ".join),
        inner.map(lambda value: f"( {value} )"),
        st.tuples(inner, inner).map(lambda pair: f"f({pair[0]},k= {pair[1]})"),
    ),
    max_leaves=6,
)
blanks = st.sampled_from([" ", "  ", "\n", "\n\n\n", "  # note\n", "\t"])
statements = st.tuples(st.sampled_from(["topk", "softmax", "labels", "odd"]), values).map(" ".join)
blocks = st.tuples(st.sampled_from(["postprocess", "model"]), blanks, st.lists(statements), blanks).map(
    lambda parts: f"{parts[0]}{parts[1]}{{{parts[3]}{parts[3].join(parts[2])}{parts[3]}}}"
)
head = st.tuples(st.sampled_from(["age", '"an output"', "topk"]), blanks, st.lists(statements)).map(
    lambda parts: f"{parts[0]}:{parts[1]}{parts[1].join(parts[2])}\n"
)
several = st.lists(head, max_size=3).map(lambda all_: f"heads {{{' '.join(all_)}}}")
lets = st.tuples(st.sampled_from(["a", "b"]), values).map(lambda pair: f"let {pair[0]}={pair[1]}")
files = st.lists(st.one_of(blocks, several, lets), max_size=4).map("\n".join)


def test_the_layout_is_neat_and_keeps_comments() -> None:
    assert format_source(UGLY) == NEAT


def test_crlf_becomes_lf_and_an_empty_file_stays_empty() -> None:
    assert format_source("let a = 1\r\n\r\n\r\n\r\nlet b = 2\r\n") == "let a = 1\n\nlet b = 2\n"
    assert format_source("\n\n") == ""


def test_a_syntax_error_is_raised_with_its_diagnostics() -> None:
    with pytest.raises(ZoocError) as caught:
        format_source("let = ", "x.zoo")
    assert caught.value.diagnostics[0].code == "Z0001"


@settings(max_examples=200, deadline=None)
@given(files)
def test_formatting_is_idempotent_and_keeps_the_meaning(text: str) -> None:
    before, _ = parse(SourceFile("x.zoo", text))
    if before is None:
        return
    formatted = format_source(text)
    after, _ = parse(SourceFile("x.zoo", formatted))
    assert after is not None
    assert after.items == before.items
    assert format_source(formatted) == formatted
    assert formatted.count("# note") == text.count("# note")
