"""How results and models look in a notebook (IPython's `_repr_html_`) and in rich's `print`.

Everything that is shown comes from files: labels may hold markup, so all of it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .network import Network
    from .results import Prediction, Result

__all__ = ["model_facts", "model_html", "result_fields", "result_html"]

_LEFT = ' style="text-align:left"'


def result_html(result: Result) -> str:
    """Return tables of the classes of one image, one a head; embeddings as their number of dimensions."""
    if result.heads:
        return "".join(f"<p>{escape(name)}</p>{result_html(one)}" for name, one in result.heads.items())
    if not result.topk:
        return f"<p>an embedding of {result.probabilities.size} dimensions</p>"
    chosen = {one.index for one in result.predictions}
    rows = [(one, one.index in chosen) for one in result.topk]
    body = "".join(_row(one, bold=bold) for one, bold in rows)
    head = f"<tr><th>id</th><th{_LEFT}>class</th><th>probability</th></tr>"
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(one: Prediction, *, bold: bool) -> str:
    label = f"<b>{escape(one.label)}</b>" if bold else escape(one.label)
    return f"<tr><td>{one.index}</td><td{_LEFT}>{label}</td><td>{one.probability:.1%}</td></tr>"


def result_fields(result: Result) -> Iterator[tuple[str, object]]:
    """Yield what rich prints: the answers, and the shape of the scores instead of all of them."""
    if result.heads:
        yield "heads", dict(result.heads)
        return
    yield "topk", [(one.label, round(one.probability, 4)) for one in result.topk]
    if result.predictions != result.topk[:1]:
        yield "predictions", [one.label for one in result.predictions]
    yield "probabilities", f"float32 [{result.probabilities.size}]"


def model_facts(network: Network) -> Sequence[tuple[str, str]]:
    """Return what a reader of a notebook wants to know of a model, in words."""
    manifest = network.manifest
    heads = [head.name for head in network.heads if head.name]
    shape = ("N" if network.fixed_batch is None else network.fixed_batch, *network.input_shape)
    facts = [
        ("package", f"{manifest['name']} {manifest['version']}"),
        ("network", str(manifest["model"]["source"])),
        ("takes", "images" if network.takes_images else "tensors"),
        ("input", f"[{', '.join(map(str, shape))}]"),
        ("classes", str(network.classes)),
        ("data type", str(manifest["quantization"]["dtype"])),
        ("engine", f"{network.engine} on {', '.join(network.runs_on)}"),
    ]
    return [*facts, ("heads", ", ".join(heads))] if heads else facts


def model_html(network: Network) -> str:
    """Return the facts as a table."""
    return f"<table><tbody>{''.join(_facts(model_facts(network)))}</tbody></table>"


def _facts(facts: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in facts:
        yield f"<tr><th{_LEFT}>{escape(name)}</th><td{_LEFT}>{escape(value)}</td></tr>"
