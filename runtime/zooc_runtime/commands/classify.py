"""The `classify` command: names what images show, on the terminal, as JSON, or in a result file."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PackageError
from ..support.error_boundary import DONE, USER_ERROR, note, progress, say
from .cluster import Source, cluster_of, source_of

if TYPE_CHECKING:
    from ..data.elsewhere import Sendable
    from ..inference.results import Result
    from ..package.heads import Head

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options; those of Vastai's classification.py under its names."""
    add = parser.add_argument
    add(
        "inputs",
        nargs="*",
        metavar="FILE|FOLDER",
        help="images, folders, or other sources (see eval)",
    )
    add("--file-path", metavar="PATH", help="one more such file or folder")
    add("--topk", type=int, metavar="K", help="classes per image (as compiled; 5 in a result file)")
    add("--keep-going", action="store_true", help="skip unreadable images, exit 1 at the end")
    add(
        "--infer-mode",
        choices=("async", "sync"),
        default="async",
        help="async (default) reads the next images while the network works, sync goes step by step; the "
        "answers are the same",
    )
    add(
        "--save-result-txt",
        type=Path,
        metavar="FILE",
        help="write the answers to this file, for eval, replacing it",
    )
    add("--head", metavar="NAME", help="of a package with several heads the one for the result file")
    add("--append", action="store_true", help="add to that file instead of replacing it")
    parser.set_defaults(wrong_usage=parser.error)


def run(package: Path, options: argparse.Namespace) -> int:
    """Classify; returns the exit code.

    Args:
        package: the import package's folder; it is loaded once it is known that there is something to do.
        options: of `add_arguments`.

    Raises:
        PackageError: no or unreadable images.
    """
    names = [*options.inputs, *([options.file_path] if options.file_path else [])]
    if not names:
        options.wrong_usage("no images given: name files or folders, or give --file-path")
    if options.append and options.save_result_txt is None:
        options.wrong_usage("--append needs --save-result-txt")
    from ..package.heads import refuse_embeddings

    paths = _inputs(names)
    with cluster_of(options, package) as cluster:
        step_by_step = options.infer_mode == "sync"
        source = source_of(package, options, cluster, step_by_step=step_by_step)
        refuse_embeddings(str(source.manifest["name"]), source.heads)
        return _classify(paths, source, options)


def _classify(paths: Sequence[Sendable], model: Source, options: argparse.Namespace) -> int:
    head = _head(model, options)
    begin = time.monotonic()
    documents: list[dict[str, Any]] = []
    lines: list[str] = []
    topk = options.topk if options.topk is not None or options.save_result_txt is None else 5
    for path, outcome in _outcomes(model, paths, topk, options):
        if isinstance(outcome, PackageError):
            note(f"skipped: {outcome}")
            documents.append({"path": path, "error": str(outcome)})
            continue
        documents.append({"path": path, **_document(outcome, model)})
        if options.save_result_txt is not None:
            lines.append(_result_lines(path, outcome.heads[head.name] if outcome.heads else outcome))
        elif not options.json:
            say(path)
            for line in _text(outcome, model):
                say(line)
    if options.save_result_txt is not None:
        _save(options.save_result_txt, "".join(lines), append=options.append)
    failed = sum("error" in document for document in documents)
    if options.json:
        say(json.dumps(documents, indent=2, ensure_ascii=False))
    elif options.save_result_txt is not None and not options.quiet:
        seconds = time.monotonic() - begin
        say(
            f"{options.save_result_txt}: {len(paths) - failed} images in {seconds:.2f} s "
            f"({(len(paths) - failed) / seconds:.1f} images/second)"
        )
    if failed and not options.quiet:
        note(f"{failed} of {len(documents)} images skipped")
    return USER_ERROR if failed else DONE


def _inputs(names: Sequence[str]) -> list[Sendable]:
    from ..data.opening import all_images, is_source, open_source
    from ..data.place import shown

    images: list[Sendable] = []
    for name in names:
        if is_source(name):
            found = all_images(open_source(name))
            if not found and Path(name).is_dir():
                raise PackageError(f"{name}: no images below this folder; check the path")
            if not found:
                raise PackageError(f"{shown(name)}: no images there; check the place")
            images += [os.fspath(one) if isinstance(one, Path) else one for one in found]
        else:
            images.append(name)
    return images


def _outcomes(
    model: Source, paths: Sequence[Sendable], topk: int | None, options: argparse.Namespace
) -> Iterator[tuple[str, Result | PackageError]]:
    """Each image's name with its result, or why there is none, in order."""
    from ..data.remote import retries_told
    from ..preprocessing.decode import describe

    quiet = options.quiet or not (options.json or options.save_result_txt)
    with retries_told(note), closing(model.outcomes(paths, topk)) as outcomes:
        for done, (path, outcome) in enumerate(zip(paths, outcomes, strict=True), 1):
            if isinstance(outcome, PackageError) and not options.keep_going:
                raise outcome
            yield describe(path), outcome
            progress(f"{done} of {len(paths)}", quiet=quiet)
    progress("", last=True, quiet=quiet)


def _head(model: Source, options: argparse.Namespace) -> Head:
    from ..package.heads import only_head

    if options.save_result_txt is None:
        if options.head is not None:
            options.wrong_usage("--head needs --save-result-txt")
        return model.heads[0]
    return only_head(model.heads, options.head, str(model.manifest["name"]))


def _document(result: Result, model: Source) -> dict[str, Any]:
    """A result as JSON: the ranked classes, of a sigmoid those from the threshold up as well, by head."""
    if result.heads:
        parts = zip(model.heads, result.heads.values(), strict=True)
        return {"heads": {head.name: _answer(one, head) for head, one in parts}}
    return _answer(result, model.heads[0])


def _answer(result: Result, head: Head) -> dict[str, Any]:
    ranked = [vars(one) for one in result.topk]
    if head.activation != "sigmoid":
        return {"topk": ranked}
    return {"topk": ranked, "predictions": [vars(one) for one in result.predictions]}


def _text(result: Result, model: Source) -> Iterator[str]:
    for head in model.heads:
        own = result.heads[head.name] if result.heads else result
        indent = "  "
        if result.heads:
            yield f"  {head.name}"
            indent = "    "
        shown = own.predictions if head.multi_label else own.topk
        for one in shown:
            yield f"{indent}{one.probability:.6f}  {one.label} ({one.index})"
        if not shown:
            best = own.topk[0]
            yield (
                f"{indent}none from {head.threshold:g} up; the best: "
                f"{best.probability:.6f}  {best.label} ({best.index})"
            )


def _result_lines(path: str, result: Result) -> str:
    from ..evaluation.result_file import RankedClass, result_lines

    return result_lines(path, [RankedClass(one.index, one.probability, one.label) for one in result.topk])


def _save(file: Path, text: str, *, append: bool) -> None:
    """All at once, so that a run that is cut short leaves the file as it was."""
    from ..support.files import make_folder, replacing

    make_folder(file.absolute().parent)
    if not append:
        with replacing(file) as stream:
            stream.write(text.encode("utf-8"))
        return
    try:
        with file.open("ab") as stream:
            stream.write(text.encode("utf-8"))
    except OSError as error:
        raise PackageError(f"{file}: cannot be written ({error.strerror}); check the path") from None
