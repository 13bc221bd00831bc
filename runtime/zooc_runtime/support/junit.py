"""JUnit's XML, which continuous integration shows as a table of tests.

The format is the common part of what Jenkins, GitLab and GitHub's reporters read: `testsuites`, `testsuite`,
`testcase`, and in it `failure`, `skipped`, `system-out`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree  # only writes; nothing is parsed

__all__ = ["Case", "junit"]

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not (section 2.2)."""


@dataclass(frozen=True)
class Case:
    """One test: passed, unless `failure` or `skipped` says why not; `output` is shown either way."""

    name: str
    failure: str | None = None
    skipped: str | None = None
    output: str = ""


def junit(suite: str, cases: Sequence[Case]) -> bytes:
    """Return the document of one suite, UTF-8."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.failure is not None for case in cases)),
        "errors": "0",
        "skipped": str(sum(case.skipped is not None for case in cases)),
    }
    root = ElementTree.Element("testsuites", counts)
    tests = ElementTree.SubElement(root, "testsuite", {"name": _clean(suite), **counts})
    for case in cases:
        element = ElementTree.SubElement(tests, "testcase", classname=_clean(suite), name=_clean(case.name))
        for tag, text in (("failure", case.failure), ("skipped", case.skipped)):
            if text is not None:
                first = text.partition("\n")[0]
                ElementTree.SubElement(element, tag, message=_clean(first)).text = _clean(text)
        if case.output:
            ElementTree.SubElement(element, "system-out").text = _clean(case.output)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
