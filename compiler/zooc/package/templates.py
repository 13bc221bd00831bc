"""Renders the templates. The user's strings get into generated text only through these filters."""

from __future__ import annotations

import json
import re

import jinja2

from zooc.resources import resource
from zooc_runtime.quoted import visible

__all__ = ["docker_string", "markdown_text", "render"]


def render(template: str, **values: str) -> str:
    """Return the text of `templates/<template>.j2`; an unknown variable is an error, line ends are LF.

    Raises:
        FileNotFoundError: the installation lacks its templates.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML is generated here; the filters below quote
        keep_trailing_newline=True,
        newline_sequence="\n",
    )
    environment.filters |= {"python": ascii, "toml": _toml, "markdown": markdown_text}
    return environment.get_template(f"{template}.j2").render(values)


def _toml(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's too; what is hidden (`visible`) is escaped as well."""
    plain = json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)
    return "".join(c if visible(c) == c else f"\\U{ord(c):08x}" for c in plain)


def docker_string(text: str) -> str:
    """Return the text as a quoted word of a Dockerfile, on one line, in which nothing is a variable."""
    one_line = "".join(c if c.isprintable() else " " for c in text)
    return '"' + re.sub(r'(["\\$])', r"\\\1", one_line) + '"'


def markdown_text(text: str) -> str:
    """Return the text on one line, with whatever Markdown or HTML would take for markup escaped."""
    one_line = "".join(c if c.isprintable() else " " for c in text)
    return re.sub(r"([\\`*_{}\[\]()<>#+!|~&])", r"\\\1", one_line)
