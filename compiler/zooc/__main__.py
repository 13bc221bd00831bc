"""The entry point of `zooc` and of `python -m zooc`, light enough that Ctrl-C always meets a handler."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from zooc.cli.app import main as run

        run()
    except KeyboardInterrupt:
        # While modules are still being imported: zooc.cli.error_boundary handles it from then on.
        sys.stderr.write("interrupted; nothing was written\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
