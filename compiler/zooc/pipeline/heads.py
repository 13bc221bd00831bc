"""The heads of a compiled graph: what the description says of them, and what the network turned out to be."""

from __future__ import annotations

from dataclasses import replace

from zooc.deployment import Deployment, Postprocess
from zooc.networks.network import Facts, HeadFacts
from zooc_runtime.package.heads import Head

__all__ = ["resolve_heads"]


def resolve_heads(deployment: Deployment, facts: Facts) -> tuple[Head, ...]:
    """Return the heads in the order of their scores.

    Without an activation in the description that holds which the network's own file ended in.
    """
    begin = 0
    heads: list[Head] = []
    for described, found in zip(deployment.heads, facts.heads, strict=True):
        heads.append(_resolve(described, found, begin))
        begin += found.classes
    return tuple(heads)


def _resolve(described: Postprocess, found: HeadFacts, begin: int) -> Head:
    head = Head(
        classes=found.classes,
        name=described.name,
        begin=begin,
        activation=described.activation if described.activation != "none" else found.activation,
        labels=described.labels.names if described.labels else (),
    )
    if described.threshold is not None:
        head = replace(head, threshold=described.threshold)
    return replace(head, topk=min(described.topk, head.names))
