"""`python -m PACKAGE`: classify, serve, bench, tune, npz, decode, eval, verify, info."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..bench import command as bench
from ..inference.options import add_engine_options, placement_of
from ..support.error_boundary import DONE, USER_ERROR, guarded, note, say
from ..support.options import Parser, add_output_format
from . import classify, serve, tools, tune
from .cluster import add_ray_option

if TYPE_CHECKING:
    from ..package.heads import Head

__all__ = ["main"]

_EXAMPLES = """\
examples:
  %(prog)s classify cat.jpg
  %(prog)s classify photos/ --topk 3 --json --keep-going
  %(prog)s serve --port 8000
  %(prog)s bench -i 2 -p 1 -b 2 -s [3,224,224]
  %(prog)s tune --hint throughput
  %(prog)s eval ILSVRC2012_img_val
  %(prog)s verify --key publisher.pub

exit codes: 0 success, 1 a problem with the input, 2 wrong usage, 70 an internal error, 130 interrupted
"""


def main(directory: Path, argv: Sequence[str] | None = None) -> int:
    """Run a package's command line.

    Args:
        directory: the import package's folder.
        argv: the arguments, `sys.argv[1:]` by default.

    Returns:
        The exit code.
    """
    options = _parser(directory.name).parse_args(argv)
    return guarded(lambda: _COMMANDS[options.command](directory, options))


def _parser(name: str) -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog=f"python -m {name}", epilog=_EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    one = commands.add_parser("classify", help="classify images")
    classify.add_arguments(one)
    _add_common(one)

    serve.add_arguments(
        commands.add_parser("serve", help="answer over HTTP, and show a page to try images on")
    )

    bench.add_arguments(commands.add_parser("bench", help="measure throughput and latency"))

    tune.add_arguments(
        commands.add_parser("tune", help="find the fastest engine and settings on this machine")
    )

    for tool, purpose in tools.TOOLS.items():
        tools.add_tool(commands.add_parser(tool, help=purpose), tool, of_package=True)

    verify = commands.add_parser("verify", help="check every file, and run the golden inputs")
    add_engine_options(verify)
    verify.add_argument("--key", metavar="PUB", help="check also that the files are as signed with this key")
    add_output_format(verify)
    verify.add_argument("--quiet", action="store_true", help="print problems only")

    info = commands.add_parser("info", help="show what was compiled")
    add_output_format(info)
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_engine_options(parser)
    parser.add_argument("--threads", type=int, metavar="N", help="threads within an operator")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="images at a time (8)")
    parser.add_argument("--vdsp-params", metavar="JSON", help="preprocessing that replaces the compiled one")
    add_ray_option(parser)
    add_output_format(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")


def _classify(directory: Path, options: argparse.Namespace) -> int:
    return classify.run(directory, options)


def _tool(directory: Path, options: argparse.Namespace) -> int:
    from .class_info import DefaultLists

    return tools.run_tool(options.command, options, DefaultLists(package=directory))


def _verify(directory: Path, options: argparse.Namespace) -> int:
    from .verify import verify

    complaints = list(verify(directory, *placement_of(options), options.key))
    if options.json:
        say(json.dumps({"ok": not complaints, "complaints": complaints}, indent=2, ensure_ascii=False))
    else:
        for complaint in complaints:
            say(complaint)
        if not complaints and not options.quiet:
            files = "as signed and as compiled" if options.key else "as compiled"
            say(f"{directory.name}: every file is {files}, and every golden input gives its golden output")
        elif complaints:
            note(f"error: {directory.name} is not as compiled; reinstall it or compile it again")
    return USER_ERROR if complaints else DONE


def _info(directory: Path, options: argparse.Namespace) -> int:
    from ..package.heads import read_heads
    from ..package.manifest import Manifest

    manifest = Manifest(directory)
    data = manifest.data
    shown = {k: v for k, v in data.items() if k not in ("files", "distribution_files", "goldens", "stages")}
    if options.json:
        say(json.dumps(shown, indent=2, ensure_ascii=False))
        return DONE
    model = data["model"]
    heads = read_heads(manifest)
    steps = data["preprocess"]["steps"] if data["preprocess"] else []
    say(f"{data['name']} {data['version']}, compiled by zooc {data['zooc']}")
    say(f"  source         {model['source']}")
    shape = ", ".join("N" if size is None else str(size) for size in model["input"]["shape"])
    say(f"  input          {model['input']['dtype']} [{shape}]")
    say(f"  classes        {model['classes']}")
    say(f"  preprocessing  {', '.join(step['op'] for step in steps) or 'none: takes normalized tensors'}")
    say(f"  quantization   {data['quantization']['dtype']}")
    for head in heads:
        say(f"  {head.name or 'output':13}  {_output(head)}")
    say(f"  engines        {', '.join(data['engines'])}")
    return DONE


def _output(head: Head) -> str:
    if head.embeds:
        return f"embeddings of {head.classes} dimensions"
    if head.activation == "sigmoid":
        classes = "1 class" if head.names == 1 else f"{head.names} classes"
        return f"probabilities of {classes} by sigmoid, threshold {head.threshold:g}"
    return f"{'probabilities' if head.activation == 'softmax' else 'logits'}, top {head.topk}"


_COMMANDS = {
    "classify": _classify,
    "serve": serve.run,
    "bench": bench.run,
    "tune": tune.run,
    **dict.fromkeys(tools.TOOLS, _tool),
    "verify": _verify,
    "info": _info,
}
