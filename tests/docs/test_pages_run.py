"""The tutorial and the how-to pages do what they show: their commands run in order and print what is shown.

Figures may differ from those on a page, words may not; `...` stands for any text. A block that begins with
`# not run by the tests: ` needs what is not there, such as a download.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

END = "\x01"
FILES = {"zoo", "python", "yaml", "toml"}
SHOWN = {"text", "mermaid", *FILES}


@pytest.fixture
def workplace(tmp_path: Path, root: Path) -> tuple[Path, dict[str, str]]:
    """A folder with the examples in it, and an environment with `zooc`, `python` and `pip`."""
    for tool in ("sklearn", "hatchling"):
        pytest.importorskip(tool)
    programs, installed = tmp_path / "bin", tmp_path / "installed"
    programs.mkdir()
    python = f'exec "{sys.executable}"'
    alone = "--quiet --no-deps --no-build-isolation"
    scripts = {
        "python": f'{python} "$@"',
        "zooc": f'{python} -m zooc "$@"',
        "pip": f'shift; {python} -m pip install {alone} --target "{installed}" "$@"',
    }
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    folder = tmp_path / "zooc"
    shutil.copytree(root / "examples", folder / "examples", ignore=shutil.ignore_patterns("data", "build"))
    source = os.pathsep.join(map(str, (root / "compiler", root / "runtime", installed)))
    settings = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": source,
        "ZOOC_CACHE": str(tmp_path / "cache"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    return folder, {**os.environ, **settings}


@pytest.mark.slow
def test_the_tutorial_and_the_how_to_pages_do_what_they_show(
    workplace: tuple[Path, dict[str, str]], root: Path, blocks: ModuleType
) -> None:
    folder, environment = workplace
    for page in guides(root):
        complaint = run(page, folder, environment, blocks)
        assert complaint is None, complaint
        folder = workplace[0] / "tour"


def test_every_command_of_a_guide_is_run_or_says_why_not(root: Path, blocks: ModuleType) -> None:
    for page in guides(root):
        for block in blocks.blocks(page):
            at = f"{page.relative_to(root)}:{block.line}"
            if block.language == "console":
                assert block.reason or block.text.startswith("$ "), (
                    f"{at}: begin with `$ ` or {blocks.NOT_RUN!r}"
                )
                assert len(block.text.splitlines()) > (block.reason != ""), f"{at}: nothing is run"
            else:
                assert block.language in SHOWN, f"{at}: commands belong into `console` blocks"


def guides(root: Path) -> list[Path]:
    return [root / "docs" / "tutorial.md", *sorted((root / "docs" / "howto").glob("*.md"))]


def run(page: Path, folder: Path, environment: dict[str, str], blocks: ModuleType) -> str | None:
    """Write the page's files, run its commands in one shell; returns what differs from the page."""
    script = ["trap 'kill $(jobs -p) 2>/dev/null' EXIT"]
    steps = []
    for number, block in enumerate(blocks.blocks(page)):
        if block.reason:
            continue
        if block.title and block.language in FILES:
            kept = folder.parent / f"{page.stem}-{number}"
            kept.write_text(block.text + "\n", encoding="utf-8")
            script.append(f'cp "{kept}" "{block.title}"')
        elif block.language == "console":
            for step in block.steps():
                steps.append(step)
                script.append(f"{step.command}\n[ $? = 0 ] && echo '{END}' || exit 1")
    done = subprocess.run(
        ["bash"],
        input="\n".join(script),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    outputs = done.stdout.split(END + "\n")
    for step, output in zip(steps, outputs[:-1], strict=False):
        if not agrees(output, step.output):
            return f"{page.name}:{step.line}: $ {step.command}\nprints\n{output}\ninstead of\n{step.output}"
    if len(outputs) <= len(steps):
        return f"{page.name}:{steps[len(outputs) - 1].line}: the command fails\n{outputs[-1]}"
    return None


def agrees(printed: str, shown: str) -> bool:
    """Whether the words are the same: numbers, blanks and what `...` stands for may differ."""
    pattern = re.escape(plain(shown)).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, plain(printed), re.DOTALL) is not None


def plain(text: str) -> str:
    return " ".join(re.sub(r"\d+(\.\d+)?", "#", text).split())


@pytest.mark.parametrize(
    "printed, shown, same",
    [
        ("top1_rate: 98.4\n", "top1_rate: 97.0", True),
        ("  three (3)  0.99", "three (3) 0.5", True),
        ("one\ntwo\nthree", "one\n...\nthree", True),
        ("one\ntwo", "one", False),
        ("holds", "fails", False),
        ("", "something", False),
    ],
)
def test_words_count_and_figures_do_not(printed: str, shown: str, same: bool) -> None:
    assert agrees(printed, shown) is same


def test_a_page_with_another_output_or_a_failing_command_is_found(tmp_path: Path, blocks: ModuleType) -> None:
    page = tmp_path / "page.md"
    environment = dict(os.environ)
    folder = tmp_path / "folder"
    folder.mkdir()
    page.write_text("```console\n$ echo one\none\n$ echo two\nthree\n```\n")
    assert "page.md:4: $ echo two" in str(run(page, folder, environment, blocks))
    page.write_text("```console\n$ echo one\none\n$ (exit 3)\n$ echo two\ntwo\n```\n")
    assert "page.md:4: the command fails" in str(run(page, folder, environment, blocks))
    page.write_text(
        '```python title="a.py"\nprint("hello")\n```\n\n'
        '```console\n$ cat a.py; cd ..\nprint("hello")\n$ ls folder\na.py\n```\n'
    )
    assert run(page, folder, environment, blocks) is None
    page.write_text("```console\n# not run by the tests: no network\n$ false\n```\n")
    assert run(page, folder, environment, blocks) is None
