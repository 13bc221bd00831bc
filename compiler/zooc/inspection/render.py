"""Shows an inspection in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zooc.inspection.describe import Inspection
from zooc.ir.interface import Port

__all__ = ["render"]

_LARGEST_FILES = 6


def render(inspection: Inspection, console: Console) -> None:
    """Print `inspection` as a few short tables, plain text where `console` is no terminal."""
    facts = _grid()
    facts.add_row(inspection.kind, f"[bold]{escape(inspection.name)}[/bold]")
    for name, value in inspection.facts.items():
        facts.add_row(name, escape(value))
    for name, ports in (("input", inspection.inputs), ("output", inspection.outputs)):
        for port in ports:
            facts.add_row(name, escape(_port(port)))
    facts.add_row("opset", str(inspection.opset))
    facts.add_row("parameters", f"{inspection.parameters:,} ({inspection.parameters / 1e6:.3f} M)")
    facts.add_row("MACs", _work(inspection))
    if inspection.convolutions:
        share = inspection.quantized_convolutions / inspection.convolutions
        facts.add_row(
            "integer convolutions",
            f"{inspection.quantized_convolutions} of {inspection.convolutions} ({share:.0%})",
        )
    console.print(facts)
    console.print(_operators(inspection))
    if inspection.files:
        console.print(_files(inspection))


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _port(port: Port) -> str:
    return f"{port.name}: {port.dtype} [{', '.join(str(d or '?') for d in port.shape)}]"


def _work(inspection: Inspection) -> str:
    if inspection.macs is None or inspection.flops is None:
        return "unknown: the shapes do not follow from the graph"
    text = f"{inspection.macs / 1e9:.3f} G ({inspection.flops / 1e9:.3f} GFLOPs), one image"
    if any(port.name == "image" for port in inspection.inputs):
        text += "; the prelude, whose work depends on the image, is not counted"
    return text


def _operators(inspection: Inspection) -> Table:
    table = Table("operator", "nodes", box=None, padding=(0, 2), header_style="dim")
    table.columns[1].justify = "right"
    for name, count in inspection.operators.items():
        table.add_row(escape(name), str(count))
    return table


def _files(inspection: Inspection) -> Table:
    table = Table("file", "size", box=None, padding=(0, 2), header_style="dim")
    table.columns[1].justify = "right"
    by_size = sorted(inspection.files.items(), key=lambda item: (-item[1], item[0]))
    for name, size in by_size[:_LARGEST_FILES]:
        table.add_row(escape(name), _bytes(size))
    rest = by_size[_LARGEST_FILES:]
    if rest:
        table.add_row(f"{len(rest)} more", _bytes(sum(size for _, size in rest)))
    if len(by_size) > 1:
        table.add_row("total", _bytes(sum(inspection.files.values())))
    return table


def _bytes(size: int) -> str:
    if size < 1 << 10:
        return f"{size} B"
    return f"{size / (1 << 10):.1f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.2f} MiB"
