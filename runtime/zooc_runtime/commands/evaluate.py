"""The `eval` tool: answers from images, a folder of outputs or a result file, held against the truth."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..classes import top_k
from ..errors import PackageError
from ..evaluation.evaluation import Answer, Evaluation
from ..evaluation.measurement import Measurement
from ..evaluation.npz import read_datalist, refuse_repeats
from ..evaluation.output_folder import read_outputs
from ..evaluation.result_file import read_results
from ..support.error_boundary import DONE, note, progress, say
from .class_info import ClassInfo, DefaultLists, resolve_classes
from .evaluate_images import eval_images, merge_parts
from .truth import truth_of

__all__ = ["run"]

_MERGE = "merge"


def run(options: argparse.Namespace, home: DefaultLists) -> int:
    """Evaluate what the options of `eval` name, and print the result; return the exit code.

    Raises:
        PackageError: whatever is wrong with the input.
    """
    merging = bool(options.what) and str(options.what[0]) == _MERGE
    result: Measurement | None
    if merging:
        known = resolve_classes(home, options)
        result = merge_parts(options.what[1:], known, options)
    else:
        what = _what(options)
        known = resolve_classes(home, options)
        result = _evaluate(what, known, options)
    progress("", last=True, quiet=options.quiet)
    if result is None:
        return DONE
    for complaint in result.skipped:
        note(f"skipped: {complaint}")
    if options.json:
        say(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        return DONE
    for number, line in enumerate(result.lines(table=options.per_class)):
        if number == 0 or not options.quiet:
            say(line)
    if isinstance(result, Evaluation) and result.depth < 5 and result.depth < (known.classes.count or 5):
        note(f"the answers have {result.depth} classes each, so top5_rate considers only these")
    return DONE


def _what(options: argparse.Namespace) -> Path:
    """The one thing to evaluate."""
    named = [*options.what, *([] if options.result_path is None else [options.result_path])]
    if len(named) != 1:
        options.wrong_usage(
            "give WHAT to evaluate, exactly once: a folder of images, a result file, or outputs"
        )
    what: Path = named[0]
    if not what.exists():
        raise PackageError(f"{what}: no such folder or file; check the path")
    images = what.is_dir() and options.datalist is None
    for option in ("ray", "shard", "output"):
        if not images and getattr(options, option) is not None:
            options.wrong_usage(f"--{option} is for a folder of images")
    return what


def _evaluate(what: Path, known: ClassInfo, options: argparse.Namespace) -> Measurement | None:
    if known.head is not None and (known.head.multi_label or known.head.embeds) and not what.is_dir():
        kind = "embeddings" if known.head.embeds else "any number of classes an image"
        raise PackageError(f"{what}: the package gives {kind}; evaluate it on a folder of images")
    if options.datalist is not None:
        return _eval_outputs(what, known, options)
    return eval_images(what, known, options) if what.is_dir() else _eval_results(what, known, options)


def _eval_outputs(folder: Path, known: ClassInfo, options: argparse.Namespace) -> Evaluation:
    files = read_datalist(options.datalist, must_exist=False)
    refuse_repeats(files, options.datalist)
    truth = truth_of(files, known, options)
    result = Evaluation(known.classes)
    outputs = read_outputs(folder, files, known.classes.count)
    for class_id, (path, row) in zip(truth, outputs, strict=True):
        result.answers.append(Answer(path, class_id, tuple(top_k(row, 5))))
        progress(f"{len(result.answers)} of {len(files)}", quiet=options.quiet)
    return result


def _eval_results(file: Path, known: ClassInfo, options: argparse.Namespace) -> Evaluation:
    found = read_results(file)
    truth = truth_of([path for path, _ in found], known, options)
    answers = [Answer(path, class_id, ids) for class_id, (path, ids) in zip(truth, found, strict=True)]
    count = known.classes.count
    for one in answers:
        if count is not None and max(one.ids) >= count:
            raise PackageError(
                f"{file}: class id {max(one.ids)} for {one.path}, but there are {count} classes; "
                "give the labels or the package that the file was made with"
            )
    return Evaluation(known.classes, answers)
