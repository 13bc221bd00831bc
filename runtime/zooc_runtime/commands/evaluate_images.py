"""`eval IMAGES`: a package on images, here or on a cluster, whole or in shards, and `eval merge`."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.elsewhere import Sendable
from ..data.opening import open_source
from ..data.place import shown
from ..data.remote import retries_told
from ..errors import PackageError
from ..evaluation.evaluation import Evaluation
from ..evaluation.labelled import LabelledImages
from ..evaluation.measurement import Measurement, collect, measured
from ..evaluation.multi_label import MultiLabelEvaluation
from ..evaluation.part import Keeper, Part, images_hash, merge, text_hash
from ..evaluation.retrieval import RetrievalEvaluation
from ..inference.spread import read_params
from ..package.manifest import Manifest
from ..support.error_boundary import note, progress, say
from ..support.lock import locked
from ..support.shards import WHOLE, Shard
from .cluster import cluster_of, source_of

if TYPE_CHECKING:
    from .class_info import ClassInfo

__all__ = ["eval_images", "merge_parts"]

_FIRST = 5


def eval_images(place: str, known: ClassInfo, options: argparse.Namespace) -> Measurement | None:
    """Evaluate the package on the images of a source; `None` for a shard, which is a part of a result.

    Raises:
        SourceError: the source as a whole cannot be read.
        PackageError: whatever is wrong with the input.
    """
    if known.package is None or known.head is None:
        raise PackageError(
            f"{shown(place)}: to evaluate images name a package with -m; for a folder of outputs give "
            "--datalist"
        )
    shard = _shard(options)
    with ExitStack() as held:
        held.enter_context(retries_told(note))
        keeper = None
        if options.output is not None:
            held.enter_context(locked(options.output))
            keeper = Keeper(options.output, force=options.force)
        found = _images(place)
        measurement = _measurement(known)
        part = _part(found, _truth(found, known, options), known, options, shard)
        if keeper is not None:
            part = keeper.continued(part)
        _run(found.images, part, measurement, known, options, keeper)
        if keeper is not None:
            keeper.finish(part)
    if shard != WHOLE:
        _tell(part, options)
        return None
    return measured(part, measurement)


def _shard(options: argparse.Namespace) -> Shard:
    """The part of the images that is wanted."""
    shard = WHOLE if options.shard is None else Shard.parse(options.shard)
    if shard != WHOLE and options.output is None:
        options.wrong_usage("--shard gives a part of a result: name its file with -o")
    if shard != WHOLE and (options.at_least or options.junit is not None):
        options.wrong_usage("--at-least and --junit are of a whole result: give them to eval merge")
    return shard


def _images(place: str) -> LabelledImages:
    found = LabelledImages.of(open_source(place))
    if found:
        return found
    folder = Path(place)
    if not folder.is_dir():
        raise PackageError(f"{shown(place)}: no images there; check the place")
    outputs = any(path.suffix == ".npz" for path in folder.iterdir())
    remedy = "for a folder of outputs give --datalist" if outputs else "check the path"
    raise PackageError(f"{folder}: no images below this folder; {remedy}")


def _tell(part: Part, options: argparse.Namespace) -> None:
    """Say what is in the file of a shard."""
    (shard,) = part.shards
    if options.json:
        counts = {"done": part.done, "images": part.images, "skipped": part.complaints()}
        document = {"part": str(options.output), "shard": str(shard), **counts}
        say(json.dumps(document, indent=2, ensure_ascii=False))
    elif not options.quiet:
        say(f"{options.output}: {part.done} of {part.images} images (shard {shard})")


def merge_parts(files: Sequence[Path], known: ClassInfo, options: argparse.Namespace) -> Measurement:
    """Put parts together that `eval --shard` wrote; the result is that of a single run.

    Raises:
        PackageError: a file that is none, or parts that do not make one whole, or of another package.
    """
    if known.package is None or known.head is None:
        raise PackageError("merge: name the package that the parts are of with -m")
    if not files:
        options.wrong_usage("merge: name the parts, files that eval --shard wrote")
    parts = [(file, Part.load(file)) for file in files]
    own, found = Manifest(known.package.absolute()), parts[0][1].identity
    if found.get("package") != own.sha256:
        raise PackageError(f"{files[0]}: a part of another package's evaluation, not of {own['name']}")
    if found.get("head") != known.head.name:
        raise PackageError(f"{files[0]}: is of the head {found.get('head')!r}; give --head")
    return measured(merge(parts), _measurement(known))


def _measurement(known: ClassInfo) -> Measurement:
    """What to measure: accuracy, several labels an image, or retrieval."""
    head = known.head
    assert head is not None, "the package has told"
    if head.embeds:
        return RetrievalEvaluation()
    return MultiLabelEvaluation(head) if head.multi_label else Evaluation(known.classes, head=head.name)


def _truth(found: LabelledImages, known: ClassInfo, options: argparse.Namespace) -> Sequence[Any]:
    """Each image's truth as plain JSON data."""
    head = known.head
    assert head is not None, "the package has told"
    if head.embeds:
        if options.truth is not None or options.synsets is not None:
            raise PackageError("embeddings are evaluated by class folders; leave out --truth and --synsets")
        folders = found.class_folders()
        loose = next((i for i, folder in zip(found.items, folders, strict=True) if not folder), None)
        if loose is not None:
            message = "is not in a class folder; sort the images into one folder per class"
            raise PackageError(f"{found.source.title(loose)}: {message}")
        return folders
    if head.multi_label:
        return [sorted(ids) for ids in found.class_sets(known.classes, options.truth, options.synsets)]
    return found.class_ids(known.classes, options.truth, options.synsets)


def _part(
    found: LabelledImages,
    truth: Sequence[Any],
    known: ClassInfo,
    options: argparse.Namespace,
    shard: Shard,
) -> Part:
    """An empty part: what is to be run."""
    if options.output is None:
        identity: dict[str, str] = {}
    else:
        assert known.package is not None and known.head is not None
        vdsp = None if options.vdsp_params is None else read_params(options.vdsp_params).hex()
        settings = [options.engine, options.providers, options.provider_option, options.device, vdsp]
        identity = {
            "package": Manifest(known.package.absolute()).sha256,
            "set of images": images_hash(found.items),
            "truth": text_hash(truth),
            "head": known.head.name,
            "engine or preprocessing": text_hash(settings),
        }
    places = shard.take(len(found))
    names = {place: found.items[place].name for place in places}
    return Part(identity, len(found), (shard,), names, {place: truth[place] for place in places})


def _run(
    images: Sequence[Sendable],
    part: Part,
    measurement: Measurement,
    known: ClassInfo,
    options: argparse.Namespace,
    keeper: Keeper | None,
) -> None:
    """Fill in what the part lacks."""
    left = part.left()
    if part.done and left:
        note(f"continues an interrupted evaluation: {part.done} of {len(part.names)} images done")
    if not left:
        return
    assert known.package is not None
    with cluster_of(options, known.package) as cluster:
        source = source_of(known.package, options, cluster, hint="throughput")
        before, begin = part.done, time.monotonic()

        def report() -> None:
            rate = (part.done - before) / max(time.monotonic() - begin, 1e-3)
            where = "" if cluster is None else f", {cluster.in_words()}"
            progress(f"{part.done} of {len(part.names)}, {rate:.1f} images/s{where}", quiet=options.quiet)
            if keeper is not None:
                keeper.keep(part)

        try:
            with closing(source.outcomes([images[place] for place in left], _FIRST)) as outcomes:
                collect(outcomes, left, measurement.row, part, report)
        except BaseException:
            progress("", last=True, quiet=options.quiet)
            if keeper is not None and part.done > before:
                keeper.keep(part, now=True)
                note(f"{part.done} of {len(part.names)} images are kept; the same command continues")
            raise
