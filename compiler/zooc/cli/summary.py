"""What `zooc compile` says at the end, for people and for tools."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zooc.compilation import agreement_json

if TYPE_CHECKING:
    from zooc.compilation import Compilation
    from zooc.quantization.layers import FloatKind

__all__ = ["print_summary", "summarize"]


def summarize(c: Compilation) -> dict[str, Any]:
    """The result as plain JSON data; entries that the stages run did not reach are absent."""
    summary: dict[str, Any] = {"stopped_before": c.request.stop_before}
    if hasattr(c, "deployment"):
        summary["name"] = c.deployment.package.name
        summary["dtype"] = c.deployment.quantize.dtype
    if hasattr(c, "network"):
        summary["source"] = c.network.origin
        summary["parameters"] = c.network.parameters
    if c.quantized is not None:
        summary["layers"] = dict(Counter(layer.dtype for layer in c.quantized.layers))
        summary["float"] = [
            {"op": kind.op, "count": kind.count, "reason": kind.reason} for kind in c.quantized.float_kinds()
        ]
    if c.agreement is not None:
        summary["agreement"] = agreement_json(c)
    if c.contract is not None:
        summary["contract"] = c.contract.to_json()
    if c.consumptions:
        summary["consumers"] = [consumption.to_json() for consumption in c.consumptions]
    if c.package is not None:
        summary["package"] = str(c.package)
        summary["bytes"] = sum(f.stat().st_size for f in c.package.rglob("*") if f.is_file())
    return summary


def print_summary(c: Compilation, *, quiet: bool) -> None:
    """Human words on standard output; with `quiet` only the package's folder."""
    import typer

    if c.package is None:
        if not quiet:
            typer.echo(f"stopped before {c.request.stop_before}; no package was written")
        return
    if quiet:
        typer.echo(str(c.package))
        return
    summary = summarize(c)
    typer.echo(f"{c.package}  ({summary['bytes'] / 1e6:.1f} MB, {summary['dtype']})")
    if agreement := summary.get("agreement"):
        typer.echo(
            f"  against float on {agreement['images']} images: same top-1 on "
            f"{agreement['top1_agreement']:.1%}, logits {agreement['sqnr_db']:.1f} dB"
        )
    if c.contract is not None:
        typer.echo(f"  {c.contract.in_words()}")
    if summary["dtype"] == "int8" and c.quantized is not None and (kinds := c.quantized.float_kinds()):
        typer.echo(f"  still float: {_in_words(kinds)}; the report says why")
    for consumption in c.consumptions:
        typer.echo(f"  {consumption.in_words()}")
    folder = shlex.quote(str(c.package))
    preprocess = c.deployment.preprocess
    trial = "classify IMAGE" if preprocess is not None and preprocess.source == "rgb" else "info"
    typer.echo(f"  try it:      cd {folder} && python -m {summary['name']} {trial}")
    typer.echo(f"  install it:  pip install {folder}")
    typer.echo(f"  read it:     {c.package / 'report.html'}")


def _in_words(kinds: Sequence[FloatKind]) -> str:
    """`12 Softmax, 12 Gelu, 30 operators between those`."""
    own: Counter[str] = Counter()
    for kind in kinds:
        own["operators between those" if kind.between else kind.op] += kind.count
    return ", ".join(f"{count} {what}" for what, count in own.items())
