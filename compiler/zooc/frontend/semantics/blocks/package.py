"""The `package` block: the generated package's name, version and engines."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path

from zooc.deployment import Package
from zooc.diagnostics.diagnostic import Label, Span, error
from zooc.frontend.semantics.declarations import BlockSettings, Setting
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import ENGINES

__all__ = ["name_problem", "read_package"]

_DEFAULT = Package("default")
_DEPENDENCIES = frozenset(
    {"numpy", "onnxruntime", "pil", "pillow", "openvino", "zooc", "zooc_runtime", "pip", "setuptools"}
)
_STANDARD = frozenset(name.lower() for name in sys.stdlib_module_names)
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"{p}{i}" for p in ("com", "lpt") for i in range(10))}
)
_MAX_NAME = 100

_VERSION = re.compile(
    r"v?(?:\d+!)?\d+(?:\.\d+)*"  # epoch and release
    r"(?:[-_.]?(?:alpha|beta|preview|pre|a|b|c|rc)[-_.]?\d*)?"
    r"(?:-\d+|[-_.]?(?:post|rev|r)[-_.]?\d*)?"
    r"(?:[-_.]?dev[-_.]?\d*)?"
    r"(?:\+[a-z0-9]+(?:[-_.][a-z0-9]+)*)?",
    re.IGNORECASE | re.ASCII,
)
"""A version as PEP 440's appendix B accepts it."""


def name_problem(name: str) -> str | None:  # noqa: PLR0911 - one return a case
    """Return why `name` cannot name an import package that pip installs, `None` if it can."""
    if not name.isascii() or not name.isidentifier():
        return "is not made of ASCII letters, digits and `_`, beginning with a letter"
    if name.startswith("_") or name.endswith("_"):
        return "begins or ends with `_`, which package indexes refuse"
    if keyword.iskeyword(name):
        return "is a keyword of Python"
    if name.lower() in _STANDARD:
        return "would shadow a module of Python's standard library"
    if name.lower() in _DEPENDENCIES:
        return "would shadow a package that the generated package needs or contains"
    if name.lower() in _WINDOWS_DEVICES:
        return "is the name of a device on Windows"
    return f"is longer than {_MAX_NAME} characters" if len(name) > _MAX_NAME else None


def read_package(
    settings: BlockSettings, reader: Reader, *, path: Path, fallback: Span | None
) -> Package | None:
    """Check the block; the name defaults to the file's, when that can name a package.

    Args:
        settings: the block, empty if there is none.
        reader: reads values.
        path: the `.zoo` file.
        fallback: where to report a missing name when there is no block.
    """
    fields = settings.fields
    name_span = settings.name_span
    if "name" in fields:
        name = _name(fields["name"], reader)
        name_span = fields["name"].span
    else:
        name = _default_name(path, name_span or fallback, reader)
    version: str | None = _DEFAULT.version
    if "version" in fields:
        version = _version(fields["version"], reader)
    engines: tuple[str, ...] | None = _DEFAULT.engines
    if "engines" in fields:
        engines = _engines(fields["engines"], reader)
    if name is None or version is None or engines is None:
        return None
    return Package(name, version, engines, name_span, settings.name_span)


def _name(field: Setting, reader: Reader) -> str | None:
    if not field.values:
        return None
    node = field.values[0]
    name = (
        node.word
        if isinstance(node, ast.Reference) and node.word
        else reader.string(node, "the package's name")
    )
    if name is None:
        return None
    problem = name_problem(name)
    if problem is None:
        return name
    clean = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    clean = clean if clean[:1].isalpha() else f"net_{clean}".strip("_")
    clean = clean if name_problem(clean) is None else f"{clean}_net"
    hint = f"choose another name, for example `{clean}`" if name_problem(clean) is None else None
    reader.report(error("Z0120", f'the package name "{name[:60]}" {problem}', node.span, hint=hint))
    return None


def _default_name(path: Path, span: Span | None, reader: Reader) -> str | None:
    problem = name_problem(path.stem)
    if problem is None:
        return path.stem
    notes = (f'without it the file\'s own name is used, but "{path.stem[:60]}" {problem}',)
    hint = "add `package { name NAME }`"
    reader.report(error("Z0108", "`package` lacks `name`", span, notes=notes, hint=hint))
    return None


def _version(field: Setting, reader: Reader) -> str | None:
    if not field.values:
        return None
    node = field.values[0]
    version = reader.string(node, "the version")
    if version is None or _VERSION.fullmatch(version):
        return version
    notes = ("versions follow PEP 440: 1.0.0, 2.1rc1, 0.3.dev4",)
    reader.report(
        error(
            "Z0121",
            f'"{version[:60]}" is not a version',
            node.span,
            notes=notes,
            hint='write for example "1.0.0"',
        )
    )
    return None


def _engines(field: Setting, reader: Reader) -> tuple[str, ...] | None:
    if not field.values:
        return None
    items = reader.items(field.values[0], "the engines", "`[onnxruntime, openvino]`")
    if items is None:
        return None
    if not items:
        hint = "write `engines [onnxruntime]`"
        reader.report(error("Z0110", "a package needs an engine", field.span, hint=hint))
        return None
    engines: dict[str, Span] = {}
    sound = True
    for item in items:
        if not isinstance(item, ast.Expr):
            word = reader.string(item, "an engine")
        else:
            word = reader.word(item, ENGINES, "engine")
        if word is None:
            sound = False
        elif word in engines:
            label = (Label(engines[word], "first here"),)
            reader.report(error("Z0107", f"the engine `{word}` is given twice", item.span, labels=label))
            sound = False
        else:
            engines[word] = item.span
    return tuple(engines) if sound else None
