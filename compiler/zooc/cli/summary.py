"""What `zooc compile` says at the end, for people."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from zooc.compilation import Compilation
    from zooc.pipeline.compile import WrittenPackage
    from zooc.quantization.layers import FloatKind

__all__ = ["print_package"]


def print_package(package: WrittenPackage) -> None:
    """Print what was compiled, and what to do with it, on standard output."""
    deployment, compiled, verified = package.compiled.deployment, package.compiled, package.verified
    size = sum(file.stat().st_size for file in package.folder.rglob("*") if file.is_file())
    typer.echo(f"{package.folder}  ({size / 1e6:.1f} MB, {deployment.quantize.dtype})")
    if (agreement := verified.agreement_json()) is not None:
        same = agreement["top1_agreement"]
        answers = "" if same is None else f"same {_answer(compiled)} on {same:.1%}, "
        poor = typer.style("POOR: ", fg="red", bold=True) if verified.poor else ""
        figures = f"{answers}logits {agreement['sqnr_db']:.1f} dB"
        typer.echo(f"  {poor}against float on {agreement['images']} images: {figures}")
    if verified.decoding is not None:
        typer.echo(f"  {verified.decoding.in_words()}")
    if compiled.contract is not None:
        typer.echo(f"  {compiled.contract.in_words()}")
    for line in compiled.speed.in_words() if compiled.speed else ():
        typer.echo(f"  {line}")
    if compiled.int8 is not None and compiled.int8.placement is not None:
        typer.echo(f"  {compiled.int8.placement.in_words()}")
    if compiled.quantized and compiled.quantized.kept is not None:
        typer.echo(f"  {compiled.quantized.kept.in_words()}")
    in_integers = compiled.int8 is not None or compiled.program.levels is not None
    if in_integers and compiled.quantized and (kinds := compiled.quantized.float_kinds()):
        typer.echo(f"  still float: {_in_words(kinds)}; the report says why")
    for consumption in verified.consumptions:
        typer.echo(f"  {consumption.in_words()}")
    folder = shlex.quote(str(package.folder))
    preprocess = deployment.preprocess
    trial = "classify IMAGE" if preprocess is not None and preprocess.source == "rgb" else "info"
    typer.echo(f"  try it:      cd {folder} && python -m {deployment.package.name} {trial}")
    typer.echo(f"  install it:  pip install {folder}")
    typer.echo(f"  read it:     {package.folder / 'report.html'}")


def _answer(compiled: Compilation) -> str:
    heads = compiled.program.heads
    return "top-1" if len(heads) == 1 and not heads[0].multi_label else "answer"


def _in_words(kinds: Sequence[FloatKind]) -> str:
    """`12 Softmax, 12 Gelu, 30 operators between those`."""
    own: Counter[str] = Counter()
    for kind in kinds:
        own["operators between those" if kind.between else kind.op] += kind.count
    return ", ".join(f"{count} {what}" for what, count in own.items())
