"""The evaluation's tools on the command line: npz, decode and eval, of a package and of zooc alike."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..inference.options import add_engine_options
from ..support.error_boundary import DONE, guarded, note, progress, say
from ..support.options import Parser, add_output_format
from .cluster import add_ray_option

if TYPE_CHECKING:
    from .class_info import DefaultLists

__all__ = ["TOOLS", "add_tool", "main", "run_tool"]

_RAW = argparse.RawDescriptionHelpFormatter
TOOLS = {
    "npz": "convert images to vamp's npz files and a datalist",
    "decode": "convert a folder of outputs to a result file",
    "eval": "measure top-1 and top-5, or what else fits the package",
}
"""The tools, each with what it does."""

_EPILOGS = {
    "npz": """\
writes TARGET/FOLDER/STEM.npz for each image, FOLDER being the one that the image lies in (its synset), with
the decoded image as uint8 [3, H, W] RGB under input_0; intact existing files are kept; damaged
images are reported and left out of the list

example:
  %(prog)s --dataset-path ILSVRC2012_img_val --target-path input_npz --text-path npz_datalist.txt
""",
    "decode": """\
the outputs belong to the datalist's entries in order; each image gets lines
  PATH: Relay top-K id: ID, prob: P, class name: LABEL

example:
  %(prog)s npz_datalist.txt npz_output result.txt
""",
    "eval": """\
WHAT is a folder of images, a result file (of decode or classify --save-result-txt), or with --datalist a
folder of outputs. Images may also be a pattern, .tar or .zip archives, .parquet tables, or list:FILE, a text
file with a path a line; each at a path or an address (s3://, gs://, https:// and others, by fsspec).

The true class comes from --truth; from the images' own labels (.cls members of a tar file, a column, lines
of `path label`); or from the name of each image's folder, looked up in --synsets, in the package's synsets or
labels, or among the folders in sorted order if there are as many as classes.

Of a package with `sigmoid`, which may find any number of classes in an image, precision, recall, F1 and mean
average precision are measured; --truth then has lines of `name id,id` or `name -`. Of a package with
`l2_normalize` it is recall@1 within the class folders.

With -o an interrupted evaluation of a folder continues when the same command is given again. merge puts the
parts of --shard together, whatever machines made them; a folder that is called merge is ./merge.

examples:
  %(prog)s ILSVRC2012_img_val
  %(prog)s "s3://bucket/val-{0000..0063}.tar"
  %(prog)s list:val.txt
  %(prog)s result.txt --truth val_label.txt --json
  %(prog)s npz_output --datalist npz_datalist.txt
  %(prog)s ILSVRC2012_img_val --at-least top1_rate=75.5 --junit eval.xml
  %(prog)s ILSVRC2012_img_val --ray auto
  %(prog)s ILSVRC2012_img_val --shard 3/8 -o part3
  %(prog)s merge part1 part2 part3 part4 part5 part6 part7 part8
""",
}


def main(tool: str, argv: Sequence[str], prog: str, home: DefaultLists) -> int:
    """Run one tool as a program of its own; returns its exit code.

    Args:
        tool: one of `TOOLS`.
        argv: its arguments.
        prog: its name in messages.
        home: what it belongs to.
    """
    parser = Parser(prog=prog, description=f"{TOOLS[tool]}", allow_abbrev=False)
    add_tool(parser, tool, of_package=home.package is not None)
    options = parser.parse_args(argv)
    return guarded(lambda: run_tool(tool, options, home))


def add_tool(parser: argparse.ArgumentParser, tool: str, *, of_package: bool) -> None:
    """Add a tool's options; those that tell what a package knows are needed only outside of one."""
    parser.formatter_class = _RAW
    parser.epilog = _EPILOGS[tool]
    _ADD[tool](parser, of_package)
    add_output_format(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    parser.set_defaults(wrong_usage=parser.error)


def run_tool(tool: str, options: argparse.Namespace, home: DefaultLists) -> int:
    """Run a tool; returns its exit code.

    Raises:
        PackageError: whatever is wrong with the input.
    """
    return _RUN[tool](options, home)


def _add_npz(parser: argparse.ArgumentParser, _: bool) -> None:
    add = parser.add_argument
    add("--dataset-path", type=Path, required=True, metavar="DIR", help="images, at any depth")
    add("--target-path", type=Path, required=True, metavar="DIR", help="where the npz files go")
    add(
        "--text-path",
        type=Path,
        default=Path("npz_datalist.txt"),
        metavar="FILE",
        help="the list to write (npz_datalist.txt)",
    )
    add("--suffix", metavar="SUFFIX", help="only images with this suffix, e.g. JPEG (default: every kind)")
    add("--workers", type=_count, metavar="N", help="threads (one per core)")


def _add_decode(parser: argparse.ArgumentParser, of_package: bool) -> None:
    add = parser.add_argument
    add("datalist", metavar="DATALIST", help="the list that bench was given")
    add("folder", type=Path, metavar="OUTPUTS", help="bench --path-output")
    add("result", type=Path, metavar="RESULT", help="the result file to write")
    add("label_file", nargs="?", metavar="LABELS", help="class names, the same as --label")
    add("--topk", type=_count, default=5, metavar="K", help="lines per image (5)")
    add(
        "--softmax",
        action=argparse.BooleanOptionalAction,
        help="whether the outputs are logits (default: as the package says, or as the outputs look)",
    )
    _add_knowledge(parser, of_package)
    parser.set_defaults(synsets=None)


def _add_eval(parser: argparse.ArgumentParser, of_package: bool) -> None:
    add = parser.add_argument
    add("what", nargs="*", metavar="WHAT", help="images, a result file, or outputs; or merge PART...")
    add("--result-path", metavar="DIR", help="the same, under eval_imagenet's name")
    add("--datalist", metavar="LIST", help="the list whose outputs are in WHAT")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument(
        "--synsets", metavar="FILE", help="folder names in the order of class ids, one per line"
    )
    truth.add_argument(
        "--truth",
        "--val-label",
        "--labels-file",
        metavar="FILE",
        help="lines of `name id`, as in val_label.txt; with several classes `name id,id`",
    )
    _add_knowledge(parser, of_package)
    add("--head", metavar="NAME", help="of a package with several heads the one to evaluate")
    add(
        "--at-least",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="exit with 1 where a rate of --json is lower, in percent: top1_rate=75.5; may be repeated",
    )
    add("--junit", type=Path, metavar="FILE", help="also write JUnit's XML, replacing FILE")
    add("--per-class", action="store_true", help="print one line per class")
    add_engine_options(parser)
    add("--threads", type=int, metavar="N", help="threads within an operator")
    add("--batch-size", type=int, default=8, metavar="N", help="images at a time (8)")
    add("--vdsp-params", metavar="JSON", help="preprocessing that replaces the compiled one")
    add_ray_option(parser)
    add("--shard", metavar="I/N", help="only the I-th of N parts of the images; needs -o")
    add("-o", "--output", type=Path, metavar="PART", help="keep what was found in this file, and continue it")
    add("--force", action="store_true", help="replace a file that is already there")


def _add_knowledge(parser: argparse.ArgumentParser, of_package: bool) -> None:
    add = parser.add_argument
    own = "this one" if of_package else "none"
    word = "" if of_package else ", or the word imagenet1k"
    add("-m", "--model-path", type=Path, metavar="PKG", help=f"the package that gave the outputs ({own})")
    add("--label", "--labels", metavar="FILE", help=f"class names, one per line{word}")


def _npz(options: argparse.Namespace, _: DefaultLists) -> int:
    from ..evaluation.images_to_npz import Conversion, convert
    from ..inference.cpu import available_cores

    def report(now: Conversion) -> None:
        progress(f"{now.done} of {now.total}", quiet=options.quiet)

    try:
        result = convert(
            options.dataset_path,
            options.target_path,
            options.text_path,
            suffix=options.suffix,
            workers=options.workers or available_cores(),
            report=report,
        )
    except KeyboardInterrupt:
        progress("", last=True, quiet=options.quiet)
        note("the same command continues where this one stopped")
        raise
    progress("", last=True, quiet=options.quiet)
    for complaint in result.skipped:
        note(f"skipped: {complaint}")
    if options.json:
        _print_json({**vars(result), "datalist": str(options.text_path)})
    elif not options.quiet:
        say(
            f"{options.text_path}: {result.written + result.kept} files ({result.written} written, "
            f"{result.kept} kept), {len(result.skipped)} images skipped"
        )
    return DONE


def _decode(options: argparse.Namespace, home: DefaultLists) -> int:
    from ..evaluation.outputs_to_results import decode_outputs
    from .class_info import resolve_classes

    if options.label_file is not None:
        if options.label is not None:
            options.wrong_usage("LABELS and --label are two lists; give only one")
        options.label = options.label_file
    known = resolve_classes(home, options)
    if not known.classes.labels and known.package is None:
        options.wrong_usage(
            "no class names are known: give a labels file (or the word imagenet1k) as the fourth argument, "
            "or a package with -m"
        )
    count = decode_outputs(
        options.datalist,
        options.folder,
        options.result,
        known.classes,
        logits=known.logits if options.softmax is None else options.softmax,
        topk=options.topk,
        report=lambda done, total: progress(f"{done} of {total}", quiet=options.quiet),
    )
    progress("", last=True, quiet=options.quiet)
    if options.json:
        _print_json({"images": count, "result": str(options.result)})
    elif not options.quiet:
        say(f"{options.result}: {count} images")
    return DONE


def _eval(options: argparse.Namespace, home: DefaultLists) -> int:
    from .evaluate import run

    return run(options, home)


def _print_json(document: dict[str, object]) -> None:
    say(json.dumps(document, indent=2, ensure_ascii=False))


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


_ADD: dict[str, Callable[[argparse.ArgumentParser, bool], None]] = {
    "npz": _add_npz,
    "decode": _add_decode,
    "eval": _add_eval,
}
_RUN: dict[str, Callable[[argparse.Namespace, DefaultLists], int]] = {
    "npz": _npz,
    "decode": _decode,
    "eval": _eval,
}
