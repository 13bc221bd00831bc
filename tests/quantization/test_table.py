from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zooc.calibration.table import format_table, parse_table, table_places
from zooc.diagnostics.diagnostic import SourceFile, ZoocError

limits = st.floats(0, 3e38, allow_nan=False)
names = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1)


def source(text: str) -> SourceFile:
    return SourceFile("table.txt", text)


@given(st.dictionaries(names, st.tuples(limits, limits).map(lambda p: (0.0 - p[0], p[1]))))
def test_every_table_reads_back_to_the_bit(ranges) -> None:
    if not ranges:
        return
    notes = dict.fromkeys(ranges, "a note # with a hash")
    text = source(format_table(ranges, about=["head"], notes=notes))
    assert parse_table(text) == ranges
    assert list(table_places(text)) == list(ranges)


def test_columns_are_aligned_and_comments_kept_apart() -> None:
    text = format_table({"a": (0.0, 1.5), "a long name": (-2.0, 1.0)}, about=["by hand"])
    assert text.splitlines() == [
        "# by hand",
        "# name         threshold   min  max",
        "a                    1.5   0.0  1.5",
        '"a long name"        2.0  -2.0  1.0',
    ]


def test_a_threshold_alone_is_symmetric_and_zero_is_inside_every_range() -> None:
    table = parse_table(source("a 2\nb 3 1 3 # positive only\n\n  # c 1\nd\t1\t-1\t-0.5"))
    assert table == {"a": (-2.0, 2.0), "b": (0.0, 3.0), "d": (-1.0, 0.0)}


def test_every_bad_line_is_reported_at_its_place() -> None:
    with pytest.raises(ZoocError) as caught:
        parse_table(source("a 1 0 1\nb x\nc inf\na 1\n"))
    places = [d.span.position() for d in caught.value.diagnostics if d.span]
    assert places == [(2, 3), (3, 3), (4, 1)]


@pytest.mark.parametrize("text", ["", "# only a comment\n", '"open 1\n'])
def test_a_text_without_ranges_is_refused(text: str) -> None:
    with pytest.raises(ZoocError, match="Z0468"):
        parse_table(source(text))
