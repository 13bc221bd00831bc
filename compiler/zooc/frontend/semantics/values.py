"""Reads typed values out of expressions; every mismatch is reported where it stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from zooc.diagnostics.diagnostic import Diagnostic, Label, Span, error, warning
from zooc.diagnostics.suggest import did_you_mean, either
from zooc.frontend.semantics.constants import Scope, Value, describe
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.parser import OVERRIDE_SOURCE
from zooc.frontend.syntax.vocabulary import Parameter

__all__ = ["Reader", "find_path"]

Readable = ast.Expr | Value


class Reader:
    """What the analyses of the blocks share: the scope, the folder of relative paths, the findings.

    Methods return `None` after an error, which is then reported. `what` names the value in messages.
    """

    def __init__(
        self,
        scope: Scope,
        folder: Path,
        report: Callable[[Diagnostic], None],
        *,
        check_files: bool = True,
        may_be_missing: bool = False,
        may_miss_data: bool = False,
    ) -> None:
        self.scope = scope
        self.folder = folder
        self.report = report
        self.check_files = check_files
        self.may_be_missing = may_be_missing
        self.may_miss_data = may_miss_data

    def integer(self, node: Readable, what: str, low: int, high: int) -> int | None:
        """Return a whole number from `low` to `high`."""
        value = self._value(node)
        if value is None:
            return None
        if not isinstance(value.data, int):
            hint = "use `//` for a whole-number division" if isinstance(value.data, float) else None
            message = f"{what} must be a whole number, found {describe(value)}"
            self.report(error("Z0109", message, value.span, labels=_origin(value), hint=hint))
            return None
        if not low <= value.data <= high:
            self.report(
                error(
                    "Z0110",
                    f"{what} must be from {low} to {high}, found {value.data}",
                    value.span,
                    labels=_origin(value),
                )
            )
            return None
        return value.data

    def number(self, node: Readable, what: str) -> float | None:
        """Return any number, as a float."""
        value = self._value(node)
        if value is None:
            return None
        if isinstance(value.data, int | float):
            return float(value.data)
        self.report(
            error(
                "Z0109",
                f"{what} must be a number, found {describe(value)}",
                value.span,
                labels=_origin(value),
            )
        )
        return None

    def string(self, node: Readable, what: str) -> str | None:
        """Return a string; on the command line the raw text will do (`--set model.weights=w.pth`)."""
        if isinstance(node, ast.Expr) and node.span.source.name == OVERRIDE_SOURCE:
            return self._override_text(node)
        value = self._value(node)
        if value is None:
            return None
        if isinstance(value.data, str):
            return value.data
        hint = f'write it in quotes: "{value.span.text}"' if isinstance(value.data, int | float) else None
        self.report(
            error(
                "Z0109",
                f"{what} must be a string, found {describe(value)}",
                value.span,
                labels=_origin(value),
                hint=hint,
            )
        )
        return None

    def _override_text(self, node: ast.Expr) -> str:
        if isinstance(node, ast.String):
            return node.value
        quiet = Scope({}, lambda _: None)
        if isinstance(node, ast.Reference) and node.word in self.scope.values:
            known = self.scope.evaluate(node)
            if known is not None and isinstance(known.data, str):
                return known.data
        value = quiet.evaluate(node)
        return value.data if value is not None and isinstance(value.data, str) else node.span.text

    def word(self, node: ast.Expr, words: Collection[str], what: str) -> str | None:
        """Return one of `words`, bare or as a string."""
        if isinstance(node, ast.Reference):
            if node.text in words:
                return node.text
            if node.word is None or node.word not in self.scope.values:
                self._unknown_word(node.text, words, what, node.span)
                return None
        value = self._value(node)
        if value is None:
            return None
        if isinstance(value.data, str):
            if value.data in words:
                return value.data
            self._unknown_word(value.data, words, what, value.span)
        else:
            self.report(
                error(
                    "Z0109",
                    f"{what} must be {either(words)}, found {describe(value)}",
                    value.span,
                    labels=_origin(value),
                )
            )
        return None

    def _unknown_word(self, word: str, words: Collection[str], what: str, span: Span) -> None:
        notes = (f"it takes {either(words)}",)
        self.report(
            error("Z0106", f"unknown {what} `{word}`", span, notes=notes, hint=did_you_mean(word, words))
        )

    def items(self, node: Readable, what: str, example: str) -> Sequence[Readable] | None:
        """Return the elements of a list, not yet evaluated, because some may be words."""
        while isinstance(node, ast.Group):
            node = node.inner
        if isinstance(node, ast.ListExpr):
            return node.items
        value = self._value(node)
        if value is None:
            return None
        if isinstance(value.data, tuple):
            known = [item for item in value.data if item is not None]
            return known if len(known) == len(value.data) else None
        message = f"{what} must be a list, found {describe(value)}"
        self.report(error("Z0109", message, value.span, labels=_origin(value), hint=f"write {example}"))
        return None

    def value(self, node: Readable) -> Value | None:
        """Return a constant of any type."""
        return self._value(node)

    def path(
        self,
        node: Readable,
        what: str,
        *,
        folder: bool = False,
        cache: Path | None = None,
        if_missing: str | None = None,
    ) -> Path | None:
        """Return an existing file (or folder), relative to the `.zoo` file's folder; `~` is the home folder.

        A file named without a folder may also lie in the folder `cache`; for `if_missing` see `find_path`.
        """
        text = self.string(node, what)
        if text is None:
            return None
        return self.existing(text, node.span, what, if_missing, folder=folder, cache=cache)

    def existing(
        self,
        text: str,
        span: Span,
        what: str,
        if_missing: str | None = None,
        *,
        folder: bool = False,
        cache: Path | None = None,
    ) -> Path | None:
        """Return the file (or folder) that `text` at `span` names; see `path`."""
        return find_path(
            text,
            span,
            what,
            base=self.folder,
            folder=folder,
            check=self.check_files,
            report=self.report,
            cache=cache,
            if_missing="`zooc compile` will need it" if self.may_be_missing else if_missing,
        )

    def bind(self, call: ast.Call, parameters: Sequence[Parameter]) -> dict[str, ast.Expr] | None:
        """Return the arguments of a call by parameter name; `None` when one is missing or does not fit."""
        bound: dict[str, ast.Expr] = {}
        names = {name: p.name for p in parameters for name in (p.name, p.alias) if name}
        signature = f"{call.name.text}({', '.join(p.name for p in parameters)})"
        sound = True
        for parameter, value in zip(parameters, call.values, strict=False):
            bound[parameter.name] = value
        if len(call.values) > len(parameters):
            extra = call.values[len(parameters)]
            note = (f"its form is `{signature}`",)
            hint = "a pair of sizes is a list: `[height, width]`" if names.keys() == {"size"} else None
            self.report(
                error("Z0114", f"too many values for `{call.name.text}`", extra.span, notes=note, hint=hint)
            )
            sound = False
        for keyword in call.keywords:
            name = names.get(keyword.name.text)
            if name is None:
                notes = (f"its form is `{signature}`",)
                message = f"`{call.name.text}` has no parameter `{keyword.name.text}`"
                hint = did_you_mean(keyword.name.text, names)
                self.report(error("Z0105", message, keyword.name.span, notes=notes, hint=hint))
                sound = False
            elif name in bound:
                labels = (Label(bound[name].span, "first given here"),)
                self.report(error("Z0107", f"`{name}` is given twice", keyword.span, labels=labels))
                sound = False
            else:
                bound[name] = keyword.value
        for parameter in parameters:
            if parameter.required and parameter.name not in bound and sound:
                message = f"`{call.name.text}` lacks its `{parameter.name}`"
                self.report(error("Z0114", message, call.span, notes=(f"its form is `{signature}`",)))
                sound = False
        return bound if sound else None

    def _value(self, node: Readable) -> Value | None:
        return node if isinstance(node, Value) else self.scope.evaluate(node)


def _origin(value: Value) -> tuple[Label, ...]:
    return () if value.origin is None else (Label(value.origin, "defined here"),)


def find_path(  # noqa: PLR0911 - one return a case
    text: str,
    span: Span,
    what: str,
    *,
    base: Path,
    folder: bool,
    check: bool,
    report: Callable[[Diagnostic], None],
    cache: Path | None = None,
    if_missing: str | None = None,
) -> Path | None:
    """Return the absolute path that `text` names relative to `base`.

    Args:
        text: as written; a leading `~` is the home folder.
        span: where it stands.
        what: the thing's name in messages.
        base: what relative paths are relative to.
        folder: whether it must be a folder rather than a file.
        check: whether it must exist.
        report: takes the finding.
        if_missing: what is not there is a warning with this note, and its path the answer all the same.
        cache: a folder where a file named without one is looked for too.
    """
    if not text or "\0" in text:
        problem = "is empty" if not text else "holds a NUL character"
        report(error("Z0119", f"the path of {what} {problem}", span))
        return None
    try:
        path = Path(os.path.normpath(base / Path(text).expanduser()))
        if not check:
            return path
        if cache is not None and Path(text).name == text and not path.exists() and (cache / text).is_file():
            return cache / text
        exists, is_folder, is_file = path.exists(), path.is_dir(), path.is_file()
    except (OSError, RuntimeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        report(error("Z0119", f"cannot access {what}: {reason}", span))
        return None
    if is_folder if folder else is_file:
        return path
    if exists:
        wanted = "a folder" if folder else "a file"
        report(error("Z0119", f'{what} "{text}" is not {wanted}', span))
        return None
    notes = () if Path(text).is_absolute() else ("paths are relative to the .zoo file",)
    hint = _near(path)
    message = f'{what} "{text}" does not exist'
    if if_missing is not None:
        report(warning("Z0119", message, span, notes=(*notes, if_missing), hint=hint))
        return path
    report(error("Z0119", message, span, notes=notes, hint=hint))
    return None


def _near(path: Path) -> str | None:
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())[:1000]
    except OSError:
        return f"the folder `{path.parent.name}` does not exist either"
    return did_you_mean(path.name, names, cutoff=0.75)
