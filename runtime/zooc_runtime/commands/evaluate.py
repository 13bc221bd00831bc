"""The `eval` tool: answers from images, a folder of outputs or a result file, held against the truth."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..classes import top_k
from ..data.opening import is_source
from ..errors import PackageError
from ..evaluation.evaluation import Answer, Evaluation
from ..evaluation.ground_truth import by_class_folders, by_label_file, by_synsets
from ..evaluation.measurement import Measurement
from ..evaluation.npz import read_datalist, refuse_repeats
from ..evaluation.output_folder import read_outputs
from ..evaluation.result_file import read_results
from ..support.error_boundary import DONE, USER_ERROR, note, progress, say
from .class_info import ClassInfo, DefaultLists, resolve_classes
from .evaluate_images import eval_images, merge_parts
from .limits import check_report, hold_limits, read_limits

__all__ = ["run"]

_MERGE = "merge"


def run(options: argparse.Namespace, home: DefaultLists) -> int:
    """Evaluate what the options of `eval` name, and print the result; return the exit code.

    Raises:
        PackageError: whatever is wrong with the input.
    """
    limits = read_limits(options.at_least)
    check_report(options.junit)
    result: Measurement | None
    if options.what[:1] == [_MERGE]:
        _refuse_options_of_images(options)
        known = resolve_classes(home, options)
        result = merge_parts([Path(part) for part in options.what[1:]], known, options)
    else:
        place = _place(options)
        known = resolve_classes(home, options)
        result = _evaluate(place, known, options)
    progress("", last=True, quiet=options.quiet)
    if result is None:
        return DONE
    for complaint in result.skipped:
        note(f"skipped: {complaint}")
    failed = hold_limits(result.to_json(), limits, options.junit)
    for complaint in failed:
        note(complaint)
    code = USER_ERROR if failed else DONE
    if options.json:
        say(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        return code
    for number, line in enumerate(result.lines(table=options.per_class)):
        if number == 0 or not options.quiet:
            say(line)
    if isinstance(result, Evaluation) and result.depth < 5 and result.depth < (known.classes.count or 5):
        note(f"the answers have {result.depth} classes each, so top5_rate considers only these")
    return code


def _place(options: argparse.Namespace) -> str:
    """The one thing to evaluate."""
    named = [*options.what, *([] if options.result_path is None else [options.result_path])]
    if len(named) != 1:
        options.wrong_usage("give WHAT to evaluate, exactly once: images, a result file, or outputs")
    place: str = named[0]
    images = _are_images(place, options)
    if not images and not Path(place).exists():
        raise PackageError(f"{place}: no such folder or file; check the path")
    if not images:
        _refuse_options_of_images(options)
    return place


def _refuse_options_of_images(options: argparse.Namespace) -> None:
    for option in ("ray", "shard", "output"):
        if getattr(options, option) is not None:
            options.wrong_usage(f"--{option} is for images")


def _are_images(place: str, options: argparse.Namespace) -> bool:
    return options.datalist is None and is_source(place)


def _evaluate(place: str, known: ClassInfo, options: argparse.Namespace) -> Measurement | None:
    if _are_images(place, options):
        return eval_images(place, known, options)
    what = Path(place)
    if known.head is not None and (known.head.multi_label or known.head.embeds):
        kind = "embeddings" if known.head.embeds else "any number of classes an image"
        raise PackageError(f"{what}: the package gives {kind}; evaluate it on images")
    evaluate = _eval_results if options.datalist is None else _eval_outputs
    return evaluate(what, known, options)


def _eval_outputs(folder: Path, known: ClassInfo, options: argparse.Namespace) -> Evaluation:
    files = read_datalist(options.datalist, must_exist=False)
    refuse_repeats(files, options.datalist)
    truth = _truth(files, known, options)
    result = Evaluation(known.classes)
    outputs = read_outputs(folder, files, known.classes.count)
    for class_id, (path, row) in zip(truth, outputs, strict=True):
        result.answers.append(Answer(path, class_id, tuple(top_k(row, 5))))
        progress(f"{len(result.answers)} of {len(files)}", quiet=options.quiet)
    return result


def _eval_results(file: Path, known: ClassInfo, options: argparse.Namespace) -> Evaluation:
    found = read_results(file)
    truth = _truth([path for path, _ in found], known, options)
    answers = [Answer(path, class_id, ids) for class_id, (path, ids) in zip(truth, found, strict=True)]
    count = known.classes.count
    for one in answers:
        if count is not None and max(one.ids) >= count:
            raise PackageError(
                f"{file}: class id {max(one.ids)} for {one.path}, but there are {count} classes; "
                "give the labels or the package that the file was made with"
            )
    return Evaluation(known.classes, answers)


def _truth(paths: Sequence[str], known: ClassInfo, options: argparse.Namespace) -> list[int]:
    """The true class ids of listed files; a class's folder is the one that the file lies in."""
    if options.truth is not None:
        return by_label_file(paths, options.truth, known.classes)
    if options.synsets is not None:
        return by_synsets(paths, known.classes.synsets, options.synsets)
    return by_class_folders(paths, [Path(path).parent.name for path in paths], known.classes)
