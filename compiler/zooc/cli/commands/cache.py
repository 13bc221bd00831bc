"""`zooc cache`: where exports and calibrations are kept."""

from __future__ import annotations

import typer

from zooc.cli.error_boundary import guard, print_json
from zooc.cli.options import App, Format, FormatOption

__all__ = ["app"]

app = App(no_args_is_help=True, help="Show or empty the cache of exports and calibrations.")


@app.command("info")
def cache_info(output_format: FormatOption = Format.human) -> None:
    """Show where the cache is and how large it is."""

    def work() -> int:
        from zooc.support.cache import Cache, default_root

        root = default_root()
        size = Cache(root).size()
        if output_format is Format.json:
            print_json({"folder": str(root), "bytes": size})
        else:
            typer.echo(f"{root}: {size / 1e6:.1f} MB")
        return 0

    guard(work, output_format)


@app.command("clear")
def cache_clear(output_format: FormatOption = Format.human) -> None:
    """Empty the cache; the next compile exports and calibrates anew."""

    def work() -> int:
        from zooc.support.cache import Cache, default_root

        freed = Cache(default_root()).clear()
        if output_format is Format.json:
            print_json({"ok": True, "bytes": freed})
        else:
            typer.echo(f"removed {freed / 1e6:.1f} MB")
        return 0

    guard(work, output_format)
