"""What the commands' parsers share: one spelling of options, and one way to ask for JSON."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

__all__ = ["Parser", "add_output_format"]


class Parser(argparse.ArgumentParser):
    """A parser whose options are written with hyphens, and are understood with underscores too.

    Vastai's vamp and vaststreamx write `--batch_size`; their command lines go on working. Parsers of
    subcommands are of the same class.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse as argparse does, after underscores in the options' names have become hyphens."""
        given = list(sys.argv[1:] if args is None else args)
        end = given.index("--") if "--" in given else len(given)
        spelt = [_with_hyphens(argument) for argument in given[:end]]
        return super().parse_known_args([*spelt, *given[end:]], namespace)


def _with_hyphens(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return f"{name.replace('_', '-')}{equals}{value}"


def add_output_format(parser: argparse.ArgumentParser) -> None:
    """Add `--format human|json` and its short form `--json`; the namespace gets `json`, a bool."""
    parser.add_argument(
        "--format",
        choices=("human", "json"),
        action=_Format,
        dest="json",
        default=False,
        help="json prints one JSON document",
    )
    parser.add_argument("--json", action="store_true", dest="json", help="the same as --format json")


class _Format(argparse.Action):
    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any
    ) -> None:
        """Keep whether it is JSON."""
        namespace.json = values == "json"
