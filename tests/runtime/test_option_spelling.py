"""Options have hyphens, and are understood with vamp's underscores; JSON is asked for in one way."""

from __future__ import annotations

import argparse
import re

import pytest

from zooc_runtime.support.options import Parser, add_output_format

PRINT_NO_RESULT = ("serve",)
"""Commands that answer elsewhere, and so have nothing to format."""


def _parser() -> Parser:
    parser = Parser(prog="x")
    one = parser.add_subparsers(dest="command").add_parser("one")
    one.add_argument("--batch-size", type=int)
    one.add_argument("names", nargs="*")
    add_output_format(one)
    return parser


@pytest.mark.parametrize(
    "given", [["--batch-size", "3"], ["--batch_size", "3"], ["--batch_size=3"], ["--batch", "3"]]
)
def test_both_spellings_mean_the_same(given: list[str]) -> None:
    assert _parser().parse_args(["one", *given]).batch_size == 3


def test_values_and_what_follows_two_hyphens_stay_as_they_are() -> None:
    options = _parser().parse_args(["one", "a_b", "--", "--c_d"])
    assert options.names == ["a_b", "--c_d"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [([], False), (["--json"], True), (["--format", "json"], True), (["--format=human"], False)],
)
def test_json_has_two_spellings(given: list[str], wanted: bool) -> None:
    assert _parser().parse_args(["one", *given]).json is wanted


def test_a_mistyped_format_is_refused_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(["one", "--format", "jsn"])
    assert re.search(r"invalid choice: 'jsn' \(choose from '?human'?, '?json'?\)", capsys.readouterr().err)


def test_no_command_of_a_package_shows_an_underscore() -> None:
    from zooc_runtime.commands.main import _parser as whole

    (commands,) = (a for a in whole("net")._actions if isinstance(a, argparse._SubParsersAction))
    for name, parser in commands.choices.items():
        options = {option for action in parser._actions for option in action.option_strings}
        assert not [option for option in options if "_" in option], name
        if name not in PRINT_NO_RESULT:
            assert {"--format", "--json"} <= options, name
