"""The `serve` command: packages behind HTTP."""

from __future__ import annotations

import argparse
import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PackageError
from ..inference.options import add_engine_options, engine_arguments
from ..inference.settings import HINTS
from ..support.error_boundary import DONE

if TYPE_CHECKING:
    from ..inference.model import Model

__all__ = ["add_arguments", "run"]

_NEEDED = {
    "starlette": "starlette>=1.10",
    "uvicorn": "uvicorn>=0.54",
    "httptools": "httptools>=0.9",
    "prometheus_client": "prometheus-client>=0.26",
}
_MIB = 1 << 20
_EXAMPLES = """\
The server speaks the Open Inference Protocol (KServe v2) at /v2, has metrics for Prometheus at /metrics and a
page to try images on at /. It ends on SIGTERM or Ctrl-C, once what it has accepted is answered.

examples:
  %(prog)s
  %(prog)s --host 0.0.0.0 --port 9000 --batch-size 8 --max-wait-us 2000
  %(prog)s resnest50_fp32 other=build/other
  curl --data-binary @cat.jpg -H "Inference-Header-Content-Length: 0" localhost:8000/v2/models/NAME/infer
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EXAMPLES
    add = parser.add_argument
    add(
        "packages",
        nargs="*",
        metavar="[NAME=]PACKAGE",
        help="packages to serve beside this one: folders, or installed ones; by their names, or other ones",
    )
    add("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1: this machine alone)")
    add("--port", type=_port, default=8000, metavar="N", help="the port (8000); 0 for any that is free")
    add("--batch-size", type=_count, metavar="N", help="images of any requests that share a batch, at most")
    add(
        "--max-wait-us",
        type=_microseconds,
        default=0.0,
        metavar="US",
        help="how long a batch waits for more images (0)",
    )
    add("--streams", type=_count, metavar="N", help="batches in the network at the same time")
    add("--threads", type=_count, metavar="N", help="threads within a stream")
    add(
        "--hint",
        choices=HINTS,
        default="throughput",
        help="what to choose these for where not given (throughput)",
    )
    add_engine_options(parser)
    limits = parser.add_argument_group("limits")
    add = limits.add_argument
    add(
        "--queue-size",
        type=_count,
        default=256,
        metavar="N",
        help="images of a package that wait, at most (256)",
    )
    add("--timeout", type=_seconds, default=30.0, metavar="S", help="seconds for an answer (30)")
    add(
        "--transfer-timeout",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="seconds for a request to arrive (30)",
    )
    add("--max-body", type=_count, default=32, metavar="MIB", help="a request's size (32)")
    add(
        "--max-bodies",
        type=_count,
        default=256,
        metavar="MIB",
        help="of all requests that are held at once (256)",
    )
    add("--max-pixels", type=_count, default=50_000_000, metavar="N", help="pixels of an image (50000000)")
    add("--max-connections", type=_count, default=1024, metavar="N", help="open connections (1024)")
    parser.add_argument("--no-page", action="store_true", help="no page at /")
    parser.add_argument("--access-log", action="store_true", help="log every request, not only failures")
    parser.add_argument("--quiet", action="store_true", help="log problems only")


def run(directory: Path, options: argparse.Namespace) -> int:
    """Serve until told to end; return the exit code.

    Raises:
        PackageError: a package that is missing, a port that is taken, an unfit option.
    """
    _check_libraries()
    from ..inference.model import open_package
    from ..serving.limits import Limits
    from ..serving.logs import write_logs
    from ..serving.server import listen, serve

    if options.max_bodies < options.max_body:
        raise PackageError(
            f"--max-bodies {options.max_bodies}: less than --max-body {options.max_body}; raise it"
        )
    folders = _folders(directory, options.packages)
    write_logs(quiet=options.quiet)
    with listen(options.host, options.port) as taken:
        models: dict[str, Model] = {
            name: open_package(
                folder,
                threads=options.threads,
                batch_size=options.batch_size,
                max_wait_us=options.max_wait_us,
                streams=options.streams,
                hint=options.hint,
                **engine_arguments(options),
            )
            for name, folder in folders.items()
        }
        limits = Limits(
            queue=options.queue_size,
            seconds=options.timeout,
            body=options.max_body * _MIB,
            bodies=options.max_bodies * _MIB,
            pixels=options.max_pixels,
            connections=options.max_connections,
            transfer=options.transfer_timeout,
        )
        serve(taken, models, limits, page=not options.no_page, access_log=options.access_log)
    return DONE


def _check_libraries() -> None:
    missing = [need for name, need in _NEEDED.items() if importlib.util.find_spec(name) is None]
    if missing:
        wanted = " ".join(f"'{need}'" for need in missing)
        raise PackageError(
            "serve needs libraries that are not installed (the package's extra `serve`): "
            f"pip install {wanted}"
        )


def _folders(own: Path, others: list[str]) -> dict[str, Path]:
    """The folders by the names that they are served under."""
    from ..package.manifest import Manifest

    folders = {str(Manifest(own)["name"]): own}
    for given in others:
        name, equals, place = given.partition("=")
        if not equals:
            name, place = "", given
        elif not re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII):
            raise PackageError(
                f"{given}: {name!r} is no name; give letters, digits, dots, dashes or underscores"
            )
        if not place:
            raise PackageError(f"{given}: no package after the =; give its folder or its name")
        folder = _folder(place)
        name = name or str(Manifest(folder)["name"])
        if name in folders:
            raise PackageError(
                f"{given}: {name} is served already, from {folders[name]}; "
                f"give another name, as other={place}"
            )
        folders[name] = folder
    return folders


def _folder(place: str) -> Path:
    from ..package.manifest import MANIFEST, find_package

    if Path(place).is_dir():
        return find_package(Path(place)).absolute()
    if place.isidentifier() and (spec := importlib.util.find_spec(place)) is not None and spec.origin:
        folder = Path(spec.origin).parent
        if (folder / MANIFEST).is_file():
            return folder
        raise PackageError(
            f"{place}: installed, but not a package of zooc; give the name of one, or its folder"
        )
    raise PackageError(f"{place}: no such folder, and no installed package; give a package's folder or name")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII) or not 0 < float(text) <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0, a day at most")
    return float(text)


def _microseconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(\.\d*)?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of microseconds")
    return float(text)
