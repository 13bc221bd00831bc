"""The `eval` tool: answers from images, a folder of outputs or a result file, held against the truth."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..classes import top_k
from ..errors import PackageError
from ..evaluation.evaluation import Answer, Evaluation, answers_of
from ..evaluation.ground_truth import (
    by_class_folders,
    by_label_file,
    by_synsets,
    label_sets,
    sides_by_folders,
)
from ..evaluation.image_folder import list_images
from ..evaluation.multi_label import MultiLabelEvaluation, probabilities_of
from ..evaluation.npz import read_datalist, refuse_repeats
from ..evaluation.output_folder import read_outputs
from ..evaluation.result_file import read_results
from ..evaluation.retrieval import RetrievalEvaluation, embeddings_of
from ..support.error_boundary import DONE, USER_ERROR, note, progress, say
from .class_info import ClassInfo, DefaultLists, resolve_classes
from .limits import check_report, hold_limits, read_limits

if TYPE_CHECKING:
    from ..inference.model import Model

__all__ = ["run"]

Outcome = Evaluation | MultiLabelEvaluation | RetrievalEvaluation


def run(options: argparse.Namespace, home: DefaultLists) -> int:
    """Evaluate what the options of `eval` name, and print the result; return the exit code.

    Raises:
        PackageError: whatever is wrong with the input.
    """
    what = options.what if options.result_path is None else options.result_path
    if what is None or None not in (options.what, options.result_path):
        options.wrong_usage(
            "give WHAT to evaluate, exactly once: a folder of images, a result file, or outputs"
        )
    if not what.exists():
        raise PackageError(f"{what}: no such folder or file; check the path")
    limits = read_limits(options.at_least)
    check_report(options.junit)
    known = resolve_classes(home, options)
    result: Outcome
    if known.head is not None and (known.head.multi_label or known.head.embeds) and not what.is_dir():
        kind = "embeddings" if known.head.embeds else "any number of classes an image"
        raise PackageError(f"{what}: the package gives {kind}; evaluate it on a folder of images")
    if options.datalist is not None:
        result = _eval_outputs(what, known, options)
    elif what.is_dir():
        result = _eval_images(what, known, options)
    else:
        result = _eval_results(what, known, options)
    progress("", last=True, quiet=options.quiet)
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


def _eval_images(folder: Path, known: ClassInfo, options: argparse.Namespace) -> Outcome:
    from ..inference.model import open_package
    from ..inference.options import engine_arguments

    if known.package is None or known.head is None:
        raise PackageError(
            f"{folder}: to evaluate images name a package with -m; for a folder of outputs give --datalist"
        )
    paths = [str(path) for path in list_images(folder)]
    if not paths:
        outputs = any(path.suffix == ".npz" for path in folder.iterdir())
        remedy = "for a folder of outputs give --datalist" if outputs else "check the path"
        raise PackageError(f"{folder}: no images below this folder; {remedy}")
    measure = _measurement(paths, known, options, folder)
    return measure(
        open_package(
            known.package,
            threads=options.threads,
            batch_size=options.batch_size,
            vdsp_params=options.vdsp_params,
            hint="throughput",
            **engine_arguments(options),
        )
    )


def _measurement(
    paths: list[str], known: ClassInfo, options: argparse.Namespace, root: Path
) -> Callable[[Model], Outcome]:
    """What to measure: accuracy, several labels an image, or retrieval. The truth is known before loading."""
    head = known.head
    assert head is not None, "the package has told"

    def report(now: Outcome) -> None:
        progress(f"{len(now.answers) + len(now.skipped)} of {len(paths)}", quiet=options.quiet)

    if head.embeds:
        if options.truth is not None or options.synsets is not None:
            raise PackageError("embeddings are evaluated by class folders; leave out --truth and --synsets")
        folders = _class_folders(paths, root)
        return lambda model: embeddings_of(model, paths, folders, RetrievalEvaluation(), report)
    if head.multi_label:
        sets = _truth_sets(paths, known, options, root)
        return lambda model: probabilities_of(model, paths, sets, MultiLabelEvaluation(head), report)
    truth = _truth(paths, known, options, root)
    result = Evaluation(known.classes)
    return lambda model: answers_of(model, paths, truth, result, report, head.name)


def _truth_sets(
    paths: list[str], known: ClassInfo, options: argparse.Namespace, root: Path
) -> list[frozenset[int]]:
    if options.truth is not None:
        return label_sets(paths, options.truth, known.classes, str(root))
    if known.classes.count == 1 and options.synsets is None:
        label = known.classes.labels[0] if known.classes.labels else None
        return sides_by_folders(_class_folders(paths, root), label, str(root))
    return [frozenset({index}) for index in _truth(paths, known, options, root)]


def _class_folders(paths: Sequence[str], root: Path) -> list[str]:
    """The first folder below `root` of each image; empty for one that lies in `root` itself."""
    relative = (Path(path).relative_to(root).parts for path in paths)
    return [parts[0] if len(parts) > 1 else "" for parts in relative]


def _truth(
    paths: Sequence[str], known: ClassInfo, options: argparse.Namespace, root: Path | None = None
) -> list[int]:
    """The true class ids. A class's folder is the first below `root`, or without one the image's parent."""
    if options.truth is not None:
        return by_label_file(paths, options.truth, known.classes, None if root is None else str(root))
    if options.synsets is not None:
        return by_synsets(paths, known.classes.synsets, options.synsets)
    named = [Path(path).parent.name for path in paths]
    folders = named if root is None else _class_folders(paths, root)
    return by_class_folders(paths, folders, known.classes)
