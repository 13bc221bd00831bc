"""How a model looks in a notebook (IPython's `_repr_html_`) and in rich's `print`; all of it is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

from .network import Network

__all__ = ["model_facts", "model_html"]

_LEFT = ' style="text-align:left"'


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
