"""Pages that are made from the source: the commands of zooc and of packages, and the index of the errors."""

from __future__ import annotations

import inspect
import re
from enum import Enum
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

from commands import PACKAGE, Command, package_commands, zooc_commands

__all__ = ["errors_page", "on_files", "package_page", "zooc_page"]

_ZOOC = """\
# Commands of zooc

Made from the command line itself. [The command line](../command-line.md) has what all commands share.
"""

_PACKAGE = f"""\
# Commands of a package

Made from the packages' own help; `{PACKAGE}` is the package's name. [The package](../package.md) has more.
"""

_ERRORS = """\
# Diagnostics

Every message of zooc has a code; `zooc explain CODE` shows its page in the terminal.
"""

_RANGES = {
    "Z00": "Syntax",
    "Z01": "Names, types and values",
    "Z02": "Models, weights and ONNX",
    "Z03": "Preprocessing",
    "Z04": "Quantization and calibration",
    "Z05": "Labels and postprocessing",
    "Z06": "Packages and output",
    "Z07": "The machine and other runtimes",
    "Z08": "Importing and exporting",
    "Z09": "Our bugs",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    pages = {
        "reference/commands.md": zooc_page(),
        "reference/package-commands.md": package_page(),
        "errors/index.md": errors_page(Path(config["docs_dir"]) / "errors"),
    }
    for uri, text in pages.items():
        files.append(File.generated(config, uri, content=text))
    return files


def zooc_page() -> str:
    """Return the reference of `zooc`."""
    return _ZOOC + "".join(map(_section, zooc_commands().values()))


def package_page() -> str:
    """Return the reference of `python -m PKG`."""
    return _PACKAGE + "".join(map(_section, package_commands().values()))


def errors_page(folder: Path) -> str:
    """Return the index of the diagnostics: a table for each range of codes, from the pages' titles."""
    lines = [_ERRORS]
    group = ""
    for page in sorted(folder.glob("Z*.md")):
        first = page.read_text(encoding="utf-8").partition("\n")[0]
        code, _, title = first.removeprefix("# ").partition(": ")
        if code[:3] != group:
            group = code[:3]
            lines += ["", f"## {_RANGES[group]}", "", "| code | meaning |", "|---|---|"]
        lines.append(f"| [{code}]({page.name}) | {_cell(title)} |")
    return "\n".join(lines) + "\n"


def _section(command: Command) -> str:
    head = f"\n## {command.name}\n\n"
    if command.node is None:
        return f"{head}```text\n{command.help.strip()}\n```\n"
    node = command.node
    text = [_prose(node.help or "")]
    rows = [_row(parameter) for parameter in node.params if not getattr(parameter, "hidden", False)]
    arguments = [row for row, is_option in rows if not is_option]
    options = [row for row, is_option in rows if is_option]
    if arguments:
        text.append("\n".join(["| argument | meaning |", "|---|---|", *arguments]))
    if options:
        text.append("\n".join(["| option | meaning |", "|---|---|", *options]))
    if node.epilog:
        text.append(_examples(node.epilog))
    return head + "\n\n".join(text) + "\n"


def _row(parameter: Any) -> tuple[str, bool]:
    is_option = parameter.param_type_name == "option"
    names = (
        [*parameter.opts, *parameter.secondary_opts]
        if is_option
        else [parameter.metavar or parameter.name.upper()]
    )
    if is_option and parameter.metavar:
        names[-1] += f" {parameter.metavar}"
    default = parameter.default
    parts = [parameter.help or ""]
    if isinstance(default, Enum):
        parts.append("One of " + ", ".join(f"`{choice.value}`" for choice in type(default)) + ".")
        default = default.value
    if is_option and default not in (None, False, (), []):
        parts.append(f"Default: `{default}`.")
    shown = ", ".join(f"`{name}`" for name in names).replace("|", "\\|")
    return f"| {shown} | {_cell(' '.join(filter(None, parts)))} |", is_option


def _examples(epilog: str) -> str:
    if not epilog.startswith("Example"):
        return _prose(epilog)
    examples = epilog.partition(": ")[2].split(" · ")
    return "```sh\n" + "\n".join(examples) + "\n```"


def _prose(text: str) -> str:
    """Help for a terminal as Markdown: without rich's markup, `<` shown as it is."""
    plain = re.sub(r"\[/?[a-z ]+\]", "", inspect.cleandoc(text).replace("\f", ""))
    return plain.replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(_prose(text).split()).replace("|", "\\|")
