"""`--junit FILE`: what a command found, as JUnit's XML for continuous integration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zooc.diagnostics.diagnostic import Diagnostic
    from zooc_runtime.support.junit import Case

__all__ = ["JunitOption", "check_junit", "write_cases", "write_junit"]

JunitOption = Annotated[
    Path | None,
    typer.Option(
        "--junit",
        metavar="FILE",
        help="Also write the result as JUnit's XML, replacing an earlier one, for continuous integration.",
        show_default=False,
    ),
]


def check_junit(file: Path) -> None:
    """Check that a report can be written there: before the work, and so that it replaces no file but XML.

    Raises:
        ZoocError: Z0702, there is a folder or a file that is not XML.
    """
    from zooc.support.files import refuse_existing

    refuse_existing(file, force=True, code="Z0702", begins=b"<?xml")


def write_junit(
    file: Path,
    suite: str,
    cases: Iterable[tuple[str, Sequence[Diagnostic]]],
    passed: Iterable[tuple[str, str]] = (),
) -> None:
    """Write one test a name: it fails if there is an error among its findings; warnings are its output.

    Args:
        file: what to write; XML that is there is replaced.
        suite: the tests' common name.
        cases: each test's name and what was found.
        passed: further tests that passed, with what they say.

    Raises:
        ZoocError: Z0702, the file cannot be written, or is there and not XML.
    """
    from zooc.diagnostics.render import render
    from zooc_runtime.support.junit import Case

    tests: list[Case] = []
    for name, findings in cases:
        errors = "\n\n".join(render(d) for d in findings if d.severity == "error")
        warnings = "\n\n".join(render(d) for d in findings if d.severity == "warning")
        tests.append(Case(name, errors or None, None, warnings))
    tests += [Case(name, output=text) for name, text in passed]
    write_cases(file, suite, tests)


def write_cases(file: Path, suite: str, cases: Sequence[Case]) -> None:
    """Write the tests of a suite; see `write_junit`."""
    from zooc.support.files import write_file
    from zooc_runtime.support.junit import junit

    check_junit(file)
    write_file(file, junit(suite, cases))
