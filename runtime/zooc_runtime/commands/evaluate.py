"""The `eval` tool: answers from images, a folder of outputs or a result file, held against the truth."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from ..classes import top_k
from ..errors import PackageError
from ..evaluation.evaluation import Answer, Evaluation, answers_of
from ..evaluation.ground_truth import by_class_folders, by_label_file, by_synsets
from ..evaluation.image_folder import list_images
from ..evaluation.npz import read_datalist, refuse_repeats
from ..evaluation.output_folder import read_outputs
from ..evaluation.result_file import read_results
from ..support.error_boundary import DONE, note, progress, say
from .class_info import ClassInfo, DefaultLists, resolve_classes

__all__ = ["run"]


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
    known = resolve_classes(home, options)
    if options.datalist is not None:
        result = _eval_outputs(what, known, options)
    elif what.is_dir():
        result = _eval_images(what, known, options)
    else:
        result = _eval_results(what, known, options)
    progress("", last=True, quiet=options.quiet)
    for complaint in result.skipped:
        note(f"skipped: {complaint}")
    if options.json:
        say(json.dumps(result.to_json(), indent=2, ensure_ascii=False))
        return DONE
    for number, line in enumerate(result.lines(table=options.per_class)):
        if number == 0 or not options.quiet:
            say(line)
    if result.depth < 5 and result.depth < (known.classes.count or 5):
        note(f"the answers have {result.depth} classes each, so top5_rate considers only these")
    return DONE


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


def _eval_images(folder: Path, known: ClassInfo, options: argparse.Namespace) -> Evaluation:
    from ..inference.model import open_package

    if known.package is None:
        raise PackageError(
            f"{folder}: to evaluate images name a package with -m; for a folder of outputs give --datalist"
        )
    paths = [str(path) for path in list_images(folder)]
    if not paths:
        outputs = any(path.suffix == ".npz" for path in folder.iterdir())
        remedy = "for a folder of outputs give --datalist" if outputs else "check the path"
        raise PackageError(f"{folder}: no images below this folder; {remedy}")
    truth = _truth(paths, known, options, folder)
    model = open_package(
        known.package,
        options.engine,
        options.threads,
        options.batch_size,
        options.vdsp_params,
        hint="throughput",
    )

    def report(now: Evaluation) -> None:
        progress(f"{len(now.answers) + len(now.skipped)} of {len(paths)}", quiet=options.quiet)

    return answers_of(model, paths, truth, Evaluation(known.classes), report)


def _truth(
    paths: Sequence[str], known: ClassInfo, options: argparse.Namespace, root: Path | None = None
) -> list[int]:
    """The true class ids. A class's folder is the first below `root`, or without one the image's parent."""
    if options.truth is not None:
        return by_label_file(paths, options.truth, known.classes, None if root is None else str(root))
    if options.synsets is not None:
        return by_synsets(paths, known.classes.synsets, options.synsets)
    if root is None:
        folders = [Path(path).parent.name for path in paths]
    else:
        relative = (Path(path).relative_to(root).parts for path in paths)
        folders = [parts[0] if len(parts) > 1 else "" for parts in relative]
    return by_class_folders(paths, folders, known.classes)
