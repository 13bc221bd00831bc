"""`zooc init`: the questions whose answers `zooc new` takes as options."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from zooc.cli.model_arguments import read_weights
from zooc.cli.new_source import read_new_source
from zooc.deployment import Model, ModelSource
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.diagnostics.suggest import did_you_mean

__all__ = ["Answers", "ask"]

T = TypeVar("T")

_FILES = ("*.onnx", "*.pt2")
_AS_PUBLISHED = "as published"


@dataclass(frozen=True)
class Answers:
    """What `zooc new` takes; an empty `source` and a `None` are not given."""

    source: str
    weights: str | None = None
    classes: int | None = None
    data: str | None = None
    output: str | None = None
    force: bool = False


def ask(given: Answers) -> Answers:
    """Ask for what is not given, each question with a default; a wrong answer is asked for again.

    Raises:
        ZoocError: Z0127, the input ends first; or a source that there is not, or that is no classifier.
    """
    source, output, force = given.source, given.output, given.force
    if not source:
        found = sorted(path.name for pattern in _FILES for path in Path.cwd().glob(pattern))
        _say("A network: timm.NAME, torchvision.NAME, official.NAME, or a file (.onnx, .pt2).")
        source = _ask("model", found[0] if found else "timm.resnet50", _model)
    model = read_new_source(_model(source))
    weights, classes = given.weights, given.classes
    if model.is_file:
        _show_file(model)
    elif weights is None:
        _say("Its weights: pretrained (downloaded when compiling), random, or a file.")
        weights = _ask("weights", "pretrained", _weights)
    if not model.is_file and classes is None:
        classes = _ask("number of classes", _AS_PUBLISHED, _classes)
    data = given.data
    if data is None:
        _say("For int8: a folder of images like those to come, a hundred or so. Without one, float32.")
        folder = _ask("calibration images", "none", _folder)
        data = None if folder is None else str(folder)
    if output is None:
        name = Path(model.name).stem if model.is_file else model.name
        output = _ask("file to write", f"{name}.zoo", str)
    while output != "-" and Path(output).exists() and not force:
        force = _ask(f"{output} is there already; replace it", "no", _yes)
        if not force:
            output = _ask("another file to write", f"{Path(output).stem}_2.zoo", str)
    return Answers(source, weights, classes, data, output, force)


def _ask(question: str, default: str, read: Callable[[str], T]) -> T:
    """The answer, read by a function that raises `ValueError` or `ZoocError` for one that will not do."""
    while True:
        sys.stderr.write(f"{question} [{default}]: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stderr.write("\n")
            hint = "answer in a terminal, or give the answers as options of zooc new"
            raise ZoocError(error("Z0127", f"the input ends before `{question}` is answered", hint=hint))
        try:
            return read(line.strip() or default)
        except ValueError as problem:
            _say(str(problem))
        except ZoocError as problem:
            for finding in problem.diagnostics:
                _say(f"{finding.message}; {finding.hint}" if finding.hint else finding.message)


def _say(text: str) -> None:
    sys.stderr.write(f"  {text}\n")


def _model(text: str) -> str:
    """The source as given, if there is such a file or model, which only an installed library can tell."""
    from zooc.networks.torch.packages import LIBRARIES
    from zooc.networks.torch.published_names import published_names

    source = read_new_source(text)
    if source.is_file or importlib.util.find_spec(LIBRARIES[source.kind]) is None:
        return text
    known = published_names(source.kind)
    base = source.name.partition(".")[0]
    if base not in known:
        hint = did_you_mean(source.name, known) or f"{source.kind} has {len(known)} others"
        raise ZoocError(error("Z0201", f"there is no {source.shown}", hint=hint))
    return text


def _classes(text: str) -> int | None:
    if text == _AS_PUBLISHED:
        return None
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 1_000_000:
        return int(text)
    raise ValueError("a whole number from 1 to 1000000")


def _show_file(source: ModelSource) -> None:
    """Say what a file's network takes and gives.

    Raises:
        ZoocError: it is no image classifier.
    """
    from zooc.networks.load import guess_network
    from zooc.support.cache import Cache, default_root

    _, network = guess_network(Model(source, None, None, None), Cache(default_root()))
    _say(
        f"{source.shown} takes {network.channels} channels of {network.height} x {network.width} pixels and "
        f"gives {network.classes} classes."
    )


def _weights(text: str) -> str:
    read_weights(text)
    return text


def _folder(text: str) -> Path | None:
    if text == "none":
        return None
    folder = Path(text).expanduser()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {text}; `none` for float32")
    return folder


def _yes(text: str) -> bool:
    if text.lower() in ("y", "yes", "n", "no"):
        return text.lower().startswith("y")
    raise ValueError("yes or no")
