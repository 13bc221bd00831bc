"""What the command lines take, read from themselves: of `zooc` from typer, of packages from their help."""

from __future__ import annotations

import contextlib
import io
import os
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import typer

from zooc.cli.app import app
from zooc_runtime.commands.class_info import DefaultLists
from zooc_runtime.commands.main import main as package_main
from zooc_runtime.commands.tools import main as tool_main

__all__ = ["PACKAGE", "Command", "package_commands", "zooc_commands"]

PACKAGE = "PKG"
_SHORT = {"zooc calibrate": "zooc calibrate file"}
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z][\w-]*")


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: as it is called: `zooc cache show`, `python -m PKG eval`.
        node: typer's command, or `None` where argparse parses the options.
        help: argparse's help; of a command of typer the empty string.
        options: all options that it takes, such as `--variant` and `-v`; of a package's as its help has them,
            which are understood with underscores too.
    """

    name: str
    node: Any
    help: str
    options: frozenset[str]


@cache
def zooc_commands() -> dict[str, Command]:
    """Return the commands of `zooc` by their names, groups included, in the order of `zooc --help`."""
    found: dict[str, Command] = {}
    _visit("zooc", typer.main.get_command(app), found)
    for short, whole in _SHORT.items():
        found[short] = replace(found[short], options=found[short].options | found[whole].options)
    return found


def _visit(name: str, node: Any, found: dict[str, Command]) -> None:
    if getattr(node, "add_help_option", True):
        named = (word for one in node.params for word in (*one.opts, *one.secondary_opts))
        options = {"--help", "-h", *(word for word in named if word.startswith("-"))}
        if "--format" in options:
            options.add("--json")
        found[name] = Command(name, node, "", frozenset(options))
    else:
        tool = name.rsplit(maxsplit=1)[-1]
        shown = _help(lambda: tool_main(tool, ["--help"], name, DefaultLists()))
        found[name] = Command(name, None, shown, frozenset(_OPTION.findall(shown)))
    for child, sub in getattr(node, "commands", {}).items():
        if not sub.hidden:
            _visit(f"{name} {child}", sub, found)


@cache
def package_commands() -> dict[str, Command]:
    """Return the commands of a package by their names: `python -m PKG classify`."""
    name = f"python -m {PACKAGE}"
    general = _help(lambda: package_main(Path(PACKAGE), ["--help"]))
    found = {name: Command(name, None, general, frozenset({"-h", "--help"}))}
    for command in re.findall(r"^    ([a-z][\w-]*)(?: |$)", general, re.MULTILINE):
        shown = _help(lambda command=command: package_main(Path(PACKAGE), [command, "--help"]))
        found[f"{name} {command}"] = Command(
            f"{name} {command}", None, shown, frozenset(_OPTION.findall(shown))
        )
    return found


def _help(show: Any) -> str:
    """What `show()` prints before it leaves."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "110"
    try:
        with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
            show()
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
    return shown.getvalue()
