"""The code in Markdown files, and the command lines in it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["INDENTED", "NOT_RUN", "Block", "Step", "blocks", "inline_code", "split_commands"]

INDENTED = "indented"
"""The language of a block that has no fence."""

NOT_RUN = "# not run by the tests: "
"""How a block begins whose commands need what tests do not have; the reason follows."""

_FENCE = re.compile(r"^( *)(`{3,})([\w-]*)(.*)$")
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True)
class Step:
    """A command of a `console` block, its line in the file, and the output shown below it."""

    line: int
    command: str
    output: str


@dataclass(frozen=True)
class Block:
    """A piece of code; `line` is that of its first line in the file, from 1; `title` may be empty."""

    line: int
    language: str
    title: str
    text: str

    @property
    def reason(self) -> str:
        """Why the block is not run; empty for one that is."""
        first = self.text.partition("\n")[0]
        return first.removeprefix(NOT_RUN) if first.startswith(NOT_RUN) else ""

    def steps(self) -> list[Step]:
        """Return the commands behind `$ `; a backslash at the end of a line continues the command."""
        steps: list[Step] = []
        lines = self.text.splitlines()
        at = 0
        while at < len(lines):
            if not lines[at].startswith("$ "):
                at += 1
                continue
            begin, command = at, lines[at].removeprefix("$ ")
            while command.endswith("\\"):
                at += 1
                command += "\n" + lines[at]
            at += 1
            shown = at
            while at < len(lines) and not lines[at].startswith("$ "):
                at += 1
            steps.append(Step(self.line + begin, command, "\n".join(lines[shown:at])))
        return steps


def blocks(path: Path) -> list[Block]:
    """Return the blocks of a Markdown file in their order, fenced and indented ones."""
    lines = path.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence:
            begin = at + 1
            at = begin
            while lines[at].strip() != fence[2]:
                at += 1
            title = _TITLE.search(fence[4])
            text = textwrap.dedent("\n".join(lines[begin:at]))
            found.append(Block(begin + 1, fence[3], title[1] if title else "", text))
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            begin = at
            while at < len(lines) and (lines[at].startswith("    ") or not lines[at].strip()):
                at += 1
            found.append(Block(begin + 1, INDENTED, "", textwrap.dedent("\n".join(lines[begin:at])).strip()))
            continue
        at += 1
    return found


def inline_code(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the pieces of code within text, with their line in the file."""
    fenced = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fenced ^= line.lstrip().startswith("```")
        if not fenced and not line.startswith("    "):
            for piece in re.findall(r"(?<!`)`([^`]+)`(?!`)", line):
                yield number, piece


def split_commands(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the command lines of a block of commands, with their line in the file."""
    if block.language == "console":
        for step in block.steps():
            yield step.line, step.command.replace("\\\n", " ")
    elif block.language in ("", "sh", "bash", "yaml", INDENTED):
        joined = re.sub(r"\\\n", "  ", block.text)
        for number, line in enumerate(joined.splitlines()):
            yield block.line + number, line.strip().removeprefix("- run: ").removeprefix("$ ")
