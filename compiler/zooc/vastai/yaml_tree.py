"""Reads YAML into plain nodes that know their place, and refuses what is not plain.

Only what a hand-written configuration needs: mappings with distinct string keys, lists and scalars, one
document. Anchors, aliases, merge keys and tags are refused before anything is built from them, so that a
small file cannot grow into a large one or name a Python object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from zooc.diagnostics.diagnostic import Diagnostic, Label, SourceFile, Span, ZoocError, error
from zooc.support.limits import MAX_CONFIG_BYTES, MAX_YAML_NESTING, MAX_YAML_VALUES

__all__ = ["Node", "read_text", "read_yaml"]


@dataclass(frozen=True)
class Node:
    """A value and its place.

    Attributes:
        value: `dict[str, Node]`, `list[Node]`, or a string, number, bool or `None`.
        keys: of a mapping, where each key stands.
    """

    value: Any
    span: Span
    keys: dict[str, Span] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The text as written, at most a line's worth."""
        text = " ".join(self.span.text.split())
        return text if len(text) <= 60 else f"{text[:57]}..."


def read_text(path: Path) -> SourceFile:
    """Return the UTF-8 text of a configuration file.

    Raises:
        ZoocError: Z0801, it cannot be read, is too large or is no text.
    """
    try:
        if path.is_dir():
            raise ZoocError(error("Z0801", f"cannot read {path}: it is a folder", hint="give a file in it"))
        with path.open("rb") as stream:
            data = stream.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise ZoocError(error("Z0801", f"cannot read {path}: there is no such file")) from None
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        raise ZoocError(error("Z0801", f"cannot read {path}: {reason}")) from None
    if len(data) > MAX_CONFIG_BYTES:
        hint = "is it a build configuration or a vdsp_params file? These are about a page long"
        raise ZoocError(error("Z0801", f"{path} is larger than {MAX_CONFIG_BYTES:,} bytes", hint=hint))
    try:
        return SourceFile(str(path), data.decode("utf-8-sig"))
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        message = f"{path} is not UTF-8: byte 0x{data[failure.start]:02x} in line {line}"
        raise ZoocError(error("Z0801", message, hint="save the file as UTF-8")) from None


def read_yaml(source: SourceFile, report: Callable[[Diagnostic], None]) -> Node | None:
    """Return the one document of `source`, a mapping; `None` after an error."""
    try:
        if not _plain(source, report):
            return None
        root = yaml.compose(source.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as failure:
        report(_syntax_error(source, failure))
        return None
    except yaml.YAMLError as failure:
        message = f"not YAML: {str(failure).splitlines()[0]}"
        report(error("Z0801", message, Span(source, 0, 0), hint="delete the characters that are not text"))
        return None
    if not isinstance(root, yaml.MappingNode):
        what = "is empty" if root is None else "is not a mapping"
        hint = "a build configuration begins with `name: ...` and has `frontend:`, `backend:`, ..."
        report(error("Z0802", f"the file {what}", Span(source, 0, 0), hint=hint))
        return None
    reader = _Reader(source, report)
    node = reader.node(root)
    return node if reader.sound else None


def _plain(source: SourceFile, report: Callable[[Diagnostic], None]) -> bool:
    depth = documents = 0
    for number, event in enumerate(yaml.parse(source.text, Loader=yaml.SafeLoader)):
        span = Span(source, event.start_mark.index, max(event.end_mark.index, event.start_mark.index + 1))
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                report(error("Z0801", "a second document begins here", span, hint="split the file"))
                return False
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            hint = "write the values where they are used"
            place = Span(source, span.start, min(span.end, span.start + 1 + len(event.anchor or "")))
            report(error("Z0801", "anchors and aliases are not read", place, hint=hint))
            return False
        if getattr(event, "tag", None) not in (None, "!"):
            report(error("Z0801", f"the tag {event.tag} is not read", span, hint="delete it"))
            return False
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if number > MAX_YAML_VALUES:
            report(error("Z0801", f"more than {MAX_YAML_VALUES:,} values", span))
            return False
        if depth > MAX_YAML_NESTING:
            report(error("Z0801", f"nested more than {MAX_YAML_NESTING} deep", span))
            return False
    return True


def _syntax_error(source: SourceFile, failure: yaml.MarkedYAMLError) -> Diagnostic:
    mark = failure.problem_mark or failure.context_mark
    at = mark.index if mark else 0
    span = Span(source, min(at, len(source.text)), min(at + 1, len(source.text)))
    problem = failure.problem or "it cannot be read"
    hint = None
    if source.text[at : at + 1] == "\t":
        problem, hint = "a tab in the indentation", "indent with blanks"
    labels: tuple[Label, ...] = ()
    context = failure.context_mark
    if context is not None and context.index != at:
        start = min(context.index, len(source.text))
        labels = (
            Label(Span(source, start, min(start + 1, len(source.text))), failure.context or "see here"),
        )
    return error("Z0801", f"not YAML: {problem}", span, labels=labels, hint=hint)


class _Reader:
    def __init__(self, source: SourceFile, report: Callable[[Diagnostic], None]) -> None:
        self.source = source
        self.report = report
        self.sound = True
        self.scalars = yaml.constructor.SafeConstructor()

    def span(self, node: yaml.Node) -> Span:
        start, end = node.start_mark.index, node.end_mark.index
        text = self.source.text[start:end].rstrip()
        return Span(self.source, start, start + max(len(text), 1))

    def node(self, node: yaml.Node) -> Node:
        if isinstance(node, yaml.SequenceNode):
            return Node([self.node(item) for item in node.value], self.span(node))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node)
        return Node(self.scalar(node), self.span(node))

    def mapping(self, node: yaml.MappingNode) -> Node:
        values: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        for key_node, value_node in node.value:
            span = self.span(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.refuse(error("Z0802", "a key must be a word", span))
                continue
            key = self.text(key_node)
            if key in keys:
                labels = (Label(keys[key], "first here"),)
                hint = "delete one of the two"
                self.refuse(error("Z0802", f"the key `{key}` is given twice", span, labels=labels, hint=hint))
                continue
            keys[key], values[key] = span, self.node(value_node)
        return Node(values, self.span(node), keys)

    def scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.rpartition(":")[2]
        if kind not in ("int", "float", "bool", "null"):
            return self.text(node)
        try:
            return self.scalars.construct_object(node)
        except (ValueError, OverflowError):
            self.refuse(error("Z0802", f"`{node.value}` is not a finite number", self.span(node)))
            return 0

    def text(self, node: yaml.ScalarNode) -> str:
        text: str = node.value
        try:
            text.encode()
        except UnicodeEncodeError:
            message = f"`{text}` holds half of a surrogate pair, which is no character"
            self.refuse(error("Z0802", message, self.span(node), hint="write the character itself"))
        return text

    def refuse(self, diagnostic: Diagnostic) -> None:
        self.sound = False
        self.report(diagnostic)
