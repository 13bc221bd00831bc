"""Every command line in the documents names commands and options that exist; Python code compiles."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

OTHERS = {"pip", "venv", "http.server", "pytest", "build", "paddle2onnx", "tf2onnx.convert", "mkdocs", "zooc"}
_OPTION = re.compile(r"^\[?(--?[A-Za-z][\w-]*)")


def complaint(text: str, commands: ModuleType) -> str | None:
    """What is wrong with a command line; `None` if nothing is, or if it is another program's."""
    for part in parts_of(text):
        words = [word for word in part if not re.match(r"^[A-Z_]+=", word)]
        if not words:
            continue
        program = words[0].rpartition("/")[2]
        if program == "zooc" or words[1:3] == ["-m", "zooc"]:
            words = ["zooc", *words[1 if program == "zooc" else 3 :]]
            found = wrong(words, commands.zooc_commands(), "zooc")
        elif re.fullmatch(r"python3?(\.exe)?", program) and words[1:2] == ["-m"] and len(words) > 2:
            if words[2] in OTHERS:
                continue
            name = f"python -m {commands.PACKAGE}"
            found = wrong([name, *words[3:]], commands.package_commands(), name)
        else:
            continue
        if found:
            return found
    return None


def parts_of(text: str) -> list[list[str]]:
    """The words of each command of a pipeline; an alternative of options belongs to what is before it."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        words = text.split()
    parts: list[list[str]] = [[]]
    for word in words:
        if word in ("|", "&&", "||", ";", "·"):
            parts.append([])
        elif word.endswith(";"):
            parts[-1].append(word[:-1])
            parts.append([])
        elif not parts[-1] and len(parts) > 1 and word.startswith(("-", "[")):
            parts.pop()
            parts[-1].append(word)
        else:
            parts[-1].append(word)
    return parts


def wrong(words: list[str], known: dict[str, Any], program: str) -> str | None:
    name, rest = words[0], words[1:]
    while rest and f"{name} {rest[0]}" in known:
        name, rest = f"{name} {rest[0]}", rest[1:]
    if name == program and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        return f"`{program}` has no command `{rest[0]}`"
    for word in rest:
        option = _OPTION.match(word)
        spellings = {option[1], option[1].replace("_", "-")} if option else set()
        if option and spellings.isdisjoint(known[name].options):
            return f"`{name}` has no option `{option[1]}`"
    return None


def test_every_command_line_names_commands_and_options_that_exist(
    pages: list[Path], root: Path, blocks: ModuleType, commands: ModuleType
) -> None:
    wrong_ones: list[str] = []
    checked = 0
    for page in pages:
        lines = [line for block in blocks.blocks(page) for line in blocks.split_commands(block)]
        if page.name != "CHANGELOG.md":
            lines += blocks.inline_code(page)
        for number, text in lines:
            checked += "zooc " in text or "python -m" in text
            found = complaint(text, commands)
            if found:
                wrong_ones.append(f"{page.relative_to(root)}:{number}: {found}")
    assert not wrong_ones, "\n".join(wrong_ones)
    assert checked > 200


@pytest.mark.parametrize(
    "text, problem",
    [
        ("zooc compil net.zoo", "no command `compil`"),
        ("zooc compile net.zoo --varient a", "`zooc compile` has no option `--varient`"),
        ("zooc cache emty", None),  # an argument's place; only options are known there
        (
            "zooc calibrate merge a.calib --partal -o b.calib",
            "`zooc calibrate merge` has no option `--partal`",
        ),
        ("FOO=1 zooc check x.zoo && zooc fmt --chek x.zoo", "`zooc fmt` has no option `--chek`"),
        ("python -m net clasify a.jpg", "no command `clasify`"),
        ("python -m net eval val [--jsn]", "`python -m PKG eval` has no option `--jsn`"),
        ("python -m net bench --end_to_end A | --network_onl", "no option `--network_onl`"),
        ("zooc eval result.txt --per-clas", "`zooc eval` has no option `--per-clas`"),
        ("python -m pip install --anything", None),
        ("zooc compile net.zoo --set size=-1", None),
    ],
)
def test_mistyped_commands_are_found(text: str, problem: str | None, commands: ModuleType) -> None:
    found = complaint(text, commands)
    assert found is None if problem is None else found is not None and problem in found


def test_python_in_the_documents_compiles(pages: list[Path], root: Path, blocks: ModuleType) -> None:
    count = 0
    for page in pages:
        for block in blocks.blocks(page):
            if block.language == "python":
                count += 1
                compile(
                    block.text,
                    f"{page.relative_to(root)}:{block.line}",
                    "exec",
                    ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                )
    assert count > 5
