"""`python -m PACKAGE`: classify, bench, eval, verify, info."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import bench
from .edge import DONE, USER_ERROR, guarded, note, progress, say
from .errors import PackageError

if TYPE_CHECKING:
    from .model import Model, Result

__all__ = ["main"]

_EXAMPLES = """\
examples:
  %(prog)s classify cat.jpg
  %(prog)s classify photos/ --topk 3 --json --keep-going
  %(prog)s bench -i 2 -p 1 -b 2 -s [3,224,224]
  %(prog)s eval ILSVRC2012_img_val --synsets synsets.txt
  %(prog)s verify

exit codes: 0 done, 1 something wrong with the input, 2 wrong usage, 70 a bug, 130 interrupted
"""


def main(directory: Path, argv: Sequence[str] | None = None) -> int:
    """Runs a package's command line.

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
    parser = argparse.ArgumentParser(prog=f"python -m {name}", epilog=_EXAMPLES, formatter_class=raw)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    classify = commands.add_parser("classify", help="name what images show")
    classify.add_argument("inputs", nargs="+", metavar="FILE|FOLDER", help="images, or folders of them")
    classify.add_argument("--topk", type=int, metavar="K", help="classes an image (default: as compiled)")
    classify.add_argument(
        "--keep-going", action="store_true", help="skip unreadable images, exit 1 at the end"
    )
    _add_common(classify)

    bench.add_arguments(commands.add_parser("bench", help="measure throughput and latency"))

    evaluate = commands.add_parser("eval", help="measure top-1 and top-5 over a folder")
    evaluate.add_argument(
        "folder", metavar="FOLDER", help="images, in one folder a class unless --labels-file"
    )
    truth = evaluate.add_mutually_exclusive_group()
    truth.add_argument("--synsets", metavar="FILE", help="folder names in the order of class ids, one a line")
    truth.add_argument("--labels-file", metavar="FILE", help="lines of `name id`, like val_label.txt")
    _add_common(evaluate)

    verify = commands.add_parser("verify", help="check every file, and replay the golden inputs")
    verify.add_argument("--engine", default="auto", help="auto, onnxruntime or openvino")
    verify.add_argument("--json", action="store_true", help="print one JSON document")
    verify.add_argument("--quiet", action="store_true", help="print complaints only")

    info = commands.add_parser("info", help="what was compiled")
    info.add_argument("--json", action="store_true", help="print one JSON document")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", default="auto", help="auto, onnxruntime or openvino")
    parser.add_argument("--threads", type=int, metavar="N", help="threads within an operator")
    parser.add_argument("--batch_size", type=int, default=8, metavar="N", help="images at a time (8)")
    parser.add_argument("--vdsp_params", metavar="JSON", help="preprocessing that replaces the compiled one")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")


def _load(directory: Path, options: argparse.Namespace) -> Model:
    from .model import open_package

    return open_package(directory, options.engine, options.threads, options.batch_size, options.vdsp_params)


def _classify(directory: Path, options: argparse.Namespace) -> int:
    model = _load(directory, options)
    documents: list[dict[str, Any]] = []
    failed = 0
    for path, outcome in _outcomes(model, _inputs(options.inputs), options):
        if isinstance(outcome, PackageError):
            failed += 1
            note(f"skipped: {outcome}")
            documents.append({"path": path, "error": str(outcome)})
            continue
        best = [vars(prediction) for prediction in outcome.topk]
        documents.append({"path": path, "topk": best})
        if not options.json:
            say(path)
            for one in outcome.topk:
                say(f"  {one.probability:.6f}  {one.label} ({one.index})")
    if options.json:
        say(json.dumps(documents, indent=2, ensure_ascii=False))
    if failed and not options.quiet:
        note(f"{failed} of {len(documents)} images skipped")
    return USER_ERROR if failed else DONE


def _inputs(names: Sequence[str]) -> list[str]:
    from .images import list_images

    paths: list[str] = []
    for name in names:
        if Path(name).is_dir():
            found = list_images(name)
            if not found:
                raise PackageError(f"{name}: no images below this folder; check the path")
            paths += map(str, found)
        else:
            paths.append(name)
    return paths


def _outcomes(
    model: Model, paths: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[str, Result | PackageError]]:
    """Each path's result, or why there is none, in order; batched over the readable ones."""
    for start in range(0, len(paths), model.batch_size):
        readable: list[Any] = []
        errors: dict[str, PackageError] = {}
        chunk = paths[start : start + model.batch_size]
        for path in chunk:
            try:
                readable.append(model.pixels(path))
            except PackageError as error:
                if not options.keep_going:
                    raise
                errors[path] = error
        results = iter(model.classify_pixels(readable, options.topk))
        for path in chunk:
            yield path, errors[path] if path in errors else next(results)
        progress(f"{start + len(chunk)} of {len(paths)}", quiet=options.quiet or not options.json)
    progress("", last=True, quiet=options.quiet or not options.json)


def _eval(directory: Path, options: argparse.Namespace) -> int:
    from .evaluate import evaluate, truth_of

    model = _load(directory, options)
    samples = truth_of(model, options.folder, options.synsets, options.labels_file)
    result = evaluate(
        model,
        samples,
        lambda now: progress(f"{now.images + len(now.skipped)} of {len(samples)}", quiet=options.quiet),
    )
    progress("", last=True, quiet=options.quiet)
    document = result.to_json()
    for complaint in result.skipped:
        note(f"skipped: {complaint}")
    if options.json:
        say(json.dumps(document, indent=2, ensure_ascii=False))
        return DONE
    if not options.quiet:
        say(f"{result.images} images, {len(result.skipped)} skipped")
        say(f"{result.top1} right at first, {result.top5} among the first five")
    say(f"top1_rate: {document['top1_rate']:.4f} top5_rate: {document['top5_rate']:.4f}")
    return DONE


def _verify(directory: Path, options: argparse.Namespace) -> int:
    from .verify import verify

    complaints = list(verify(directory, options.engine))
    if options.json:
        say(json.dumps({"ok": not complaints, "complaints": complaints}, indent=2, ensure_ascii=False))
    else:
        for complaint in complaints:
            say(complaint)
        if not complaints and not options.quiet:
            say(
                f"{directory.name}: every file is as compiled, and every golden input gives its golden output"
            )
        elif complaints:
            note(f"error: {directory.name} is not as compiled; reinstall it or compile it again")
    return USER_ERROR if complaints else DONE


def _info(directory: Path, options: argparse.Namespace) -> int:
    from .manifest import Manifest

    data = Manifest(directory).data
    shown = {k: v for k, v in data.items() if k not in ("files", "distribution_files", "goldens", "stages")}
    if options.json:
        say(json.dumps(shown, indent=2, ensure_ascii=False))
        return DONE
    model, post = data["model"], data["postprocess"]
    steps = data["preprocess"]["steps"] if data["preprocess"] else []
    say(f"{data['name']} {data['version']}, compiled by zooc {data['zooc']}")
    say(f"  source         {model['source']}")
    say(f"  input          {model['input']['dtype']} {model['input']['shape']}")
    say(f"  classes        {model['classes']}")
    say(f"  preprocessing  {', '.join(step['op'] for step in steps) or 'none: takes normalized tensors'}")
    say(f"  quantization   {data['quantization']['dtype']}")
    say(f"  output         {'probabilities' if post['softmax'] else 'logits'}, top {post['topk']}")
    say(f"  engines        {', '.join(data['engines'])}")
    return DONE


_COMMANDS = {
    "classify": _classify,
    "bench": bench.run,
    "eval": _eval,
    "verify": _verify,
    "info": _info,
}
