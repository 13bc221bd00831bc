"""`zooc export`: a known model as an ONNX file, with its parameters and operations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.model_arguments import (
    EXISTS,
    SourceArgument,
    read_source,
    read_weights,
)
from zooc.cli.options import Format, FormatOption, QuietOption, VerboseOption

if TYPE_CHECKING:
    from zooc.deployment import ModelSource, Weights
    from zooc.networks.network import Network
    from zooc.support.progress import Progress

__all__ = ["EPILOG", "export"]

EPILOG = "\n\n".join(
    (
        "[bold]Which count is which.[/bold]",
        "operations: multiply-accumulates as thop counts them, layer by layer: convolutions and "
        "linear layers, four for each element that a BatchNorm reads, averages. In G, that is / 1e9. "
        "The Wide ResNet deployment page prints this number, and calls it FLOPs.",
        "FLOPs: thop's operations / 9e8 * 2, in G. The iResNet and ResNeSt deployment pages print "
        "this number.",
        "MACs: multiply-accumulates of convolutions and matrix products in the exported graph alone, "
        "in G, as `zooc inspect` counts them, whatever class a library gives its layers.",
        "parameters: what training learns, in M; BatchNorm's running statistics are not among them.",
        "Example: zooc export timm.wide_resnet50_2 --size 256 --weights x.pth -o onnx",
    )
)
"""Which count is which, for the help."""


def export(
    source: SourceArgument,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", min=1, max=8192, help="Height and width (default: the model's own).", show_default=False
        ),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", metavar="FILE|pretrained|random", help="Its weights.")
    ] = "pretrained",
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes",
            min=1,
            max=1_000_000,
            help="The number of classes (default: that of the published model).",
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is already there.")] = False,
    output_format: FormatOption = Format.human,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Export SOURCE to DIR/NAME-SIZE.onnx, float32, input `input`, any batch; print parameters and FLOPs."""

    def work() -> int:
        from zooc.support.files import refuse_existing, write_file
        from zooc.support.progress import make_progress

        model = read_source(source)
        given = read_weights(weights)
        height, width = (size, size) if size else _own_size(model)
        side = str(height) if height == width else f"{height}x{width}"
        path = output / f"{model.name}-{side}.onnx"
        refuse_existing(path, force=force, code=EXISTS)
        progress = make_progress(quiet=quiet or output_format is Format.json, verbose=verbose)
        with progress.stage("export"):
            exported = _export(model, given, (height, width), classes, progress)
        write_file(path, exported.network.model.SerializeToString())
        if output_format is Format.json:
            print_json({"ok": True, "file": str(path), **exported.to_json()})
        else:
            typer.echo(f"{path}\n{exported.table()}")
        return 0

    guard(work, output_format, verbose=verbose)


@dataclass(frozen=True)
class _Exported:
    network: Network
    operations: int
    macs: int

    def to_json(self) -> dict[str, Any]:
        network = self.network
        return {
            "source": network.origin,
            "weights": network.weights,
            "weights_sha256": network.weights_sha256,
            "input": ["batch", network.channels, network.height, network.width],
            "classes": network.classes,
            "parameters": network.parameters,
            "operations": self.operations,
            "flops": self.operations / 9e8 * 2 * 1e9,
            "macs": self.macs,
        }

    def table(self) -> str:
        operations, network = self.operations, self.network
        lines = (
            (f"{network.parameters / 1e6:.3f} M", "parameters"),
            (
                f"{operations / 9e8 * 2:.3f} G",
                "FLOPs: thop's operations / 9e8 * 2, as iResNet's and ResNeSt's pages",
            ),
            (f"{operations / 1e9:.3f} G", "operations: thop's multiply-accumulates, as Wide ResNet's page"),
            (f"{self.macs / 1e9:.3f} G", "MACs: convolutions and matrix products alone"),
        )
        return "\n".join(f"{number:>12}  {what}" for number, what in lines)


def _export(
    source: ModelSource, weights: Weights, size: tuple[int, int], classes: int | None, progress: Progress
) -> _Exported:
    from zooc.deployment import InputShape, Model
    from zooc.ir.count import count_macs
    from zooc.networks.load import export_network

    model = Model(source, weights, InputShape(None, 3, *size), classes)
    network, operations = export_network(model, on_progress=progress.note)
    return _Exported(network, operations, count_macs(network.model))


def _own_size(source: ModelSource) -> tuple[int, int]:
    from zooc.networks.recipes.find import find_recipe

    recipe = find_recipe(source)
    return recipe.height, recipe.width
