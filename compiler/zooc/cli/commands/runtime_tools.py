"""`zooc npz`, `zooc decode`, `zooc eval`: the packages' own tools, which have but one implementation.

Their options are parsed by `zooc_runtime.commands.tools`, so that both command lines take the same. Here they
know no package unless `-m` names one, but ImageNet's lists.
"""

from __future__ import annotations

import typer

from zooc.resources import resource

__all__ = ["register"]

_PURPOSES = {
    "npz": "Convert images to vamp's npz files and a datalist.",
    "decode": "Convert a folder of vamp's outputs to a result file.",
    "eval": "Measure top-1 and top-5 of images, outputs or a result file.",
}


def register(app: typer.Typer) -> None:
    """Add the tools to the command line."""
    for name, purpose in _PURPOSES.items():
        app.command(
            name,
            help=purpose,
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
        )(_run)


def _run(context: typer.Context) -> None:
    from zooc_runtime.commands.class_info import DefaultLists
    from zooc_runtime.commands.tools import main

    lists = DefaultLists(
        labels=resource("data/imagenet1k.txt"), synsets=resource("data/imagenet1k_synsets.txt")
    )
    raise typer.Exit(main(str(context.info_name), context.args, f"zooc {context.info_name}", lists))
