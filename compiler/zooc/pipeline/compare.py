"""`zooc compare`: the answers of two packages on the same images."""

from __future__ import annotations

import heapq
import math
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.package.page import data_uri, swaps_channels
from zooc.package.report.data import pairs_that_part, scatter_points
from zooc.package.report.page import render_comparison
from zooc.package.report.read import StoredReport, sound
from zooc.support.progress import Progress
from zooc.verification.divergence import divergences, said
from zooc_runtime.data.elsewhere import as_written, portable
from zooc_runtime.data.opening import open_source
from zooc_runtime.data.read_ahead import ReadAhead
from zooc_runtime.data.remote import retries_told
from zooc_runtime.errors import PackageError, SourceError
from zooc_runtime.evaluation.ground_truth import Classes
from zooc_runtime.evaluation.labelled import LabelledImages
from zooc_runtime.evaluation.wilson import wilson_interval
from zooc_runtime.inference.model import Model, open_package
from zooc_runtime.inference.spread import PackageFiles
from zooc_runtime.package.heads import Head, decisions_of
from zooc_runtime.package.manifest import find_package
from zooc_runtime.preprocessing.decode import ImageLike
from zooc_runtime.preprocessing.steps import steps_from_json
from zooc_runtime.support.workers import HERE, Here, Workers, cut, in_order

__all__ = ["PackageComparison", "Worst", "compare_packages", "comparison_page"]

_BATCH, _SHARD = 8, 64
"""Images that go through a network together; and those of a task, whole batches."""
_CHARTED = 100_000
"""Logits that are kept for the page's chart."""

_KEPT = 24
"""Images on which the packages part that are kept for the page."""


@dataclass(frozen=True, slots=True, order=True)
class Worst:
    """An image on which the logits differ much: the lower `cosine` (of the centred logits), the worse."""

    cosine: float
    name: str
    first: str
    second: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "cosine": round(self.cosine, 6),
            "image": self.name,
            "first": self.first,
            "second": self.second,
        }


@dataclass
class PackageComparison:
    """Counts and sums over the images so far.

    Attributes:
        names: of the packages.
        images: that both could read.
        same: on which both have the same top-1.
        right: by the first and by the second, only with labels.
        only_first, only_second: right in one alone, only with labels.
        divergences: of the second's probabilities from the first's, in nats, an image each.
        parted: a few images of which the two say different things, the most different first: `name`,
            `expected`, `got`, `divergence`, and `image`, a `data:` address or `None`.
        pairs: what the two say of the images on which they part, and of how many.
        logits: of both, of the first few hundred images, as many as a chart needs.
        worst: the images whose logits differ most, worst first, `keep` of them.
        skipped: messages for images that could not be read.
    """

    names: tuple[str, str]
    labels: str
    keep: int
    images: int = 0
    same: int = 0
    right: list[int] = field(default_factory=lambda: [0, 0])
    only_first: int = 0
    only_second: int = 0
    signal: float = 0.0
    noise: float = 0.0
    cosines: float = 0.0
    divergences: list[float] = field(default_factory=list)
    parted: list[dict[str, Any]] = field(default_factory=list)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    logits: list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]] = field(default_factory=list)
    worst: list[Worst] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def sqnr_db(self) -> float:
        """Of the second package's logits, the first's being the signal."""
        if self.noise == 0.0:
            return math.inf
        return 10.0 * math.log10(self.signal / self.noise) if self.signal else -math.inf

    def add(
        self,
        name: str,
        logits: Sequence[npt.NDArray[Any]],
        truth: int | None,
        heads: tuple[Head, ...],
        picture: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Take in one image's logits, float `[scores]` of either package.

        Args:
            name: of the image.
            logits: of both packages.
            truth: its class, where it is known.
            heads: what the logits mean.
            picture: makes a `data:` address of what the networks see.
        """
        first, second = (np.asarray(row, np.float64) for row in logits)
        if len(self.logits) * len(first) < _CHARTED:
            self.logits.append((first.astype(np.float32), second.astype(np.float32)))
        decided = [tuple(decisions_of(heads, row[None])[0].tolist()) for row in (first, second)]
        self.images += 1
        self.same += decided[0] == decided[1]
        self.signal += float(first @ first)
        self.noise += float(np.square(second - first).sum())
        self.cosines += _cosine(first, second)
        if (divergence := divergences(heads, first[None], second[None])) is not None:
            self.divergences.append(float(divergence[0]))
        if truth is not None:
            hits = decided[0] == (truth,), decided[1] == (truth,)
            self.right = [count + hit for count, hit in zip(self.right, hits, strict=True)]
            self.only_first += hits[0] and not hits[1]
            self.only_second += hits[1] and not hits[0]
        words = [said(heads, row) for row in (first, second)]
        if decided[0] != decided[1]:
            self.pairs[words[0], words[1]] += 1
            apart = self.divergences[-1] if divergence is not None else 0.0
            self.parted.append(
                {"name": name, "expected": words[0], "got": words[1], "divergence": apart, "image": picture()}
            )
            self.parted = heapq.nlargest(_KEPT, self.parted, key=lambda one: one["divergence"])
        self.worst.append(Worst(_cosine(first - first.mean(), second - second.mean()), name, *words))
        self.worst = heapq.nsmallest(self.keep, self.worst)

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--format json`; shares from 0 to 1."""
        total = max(self.images, 1)
        document: dict[str, Any] = {
            "packages": list(self.names),
            "images": self.images,
            "skipped": self.skipped,
            "labels": self.labels,
            "top1_agreement": self.same / total,
            "top1_agreement_interval": list(wilson_interval(self.same, self.images)),
            "logits": {
                "sqnr_db": round(max(min(self.sqnr_db, 999.0), -999.0), 3),
                "cosine": round(self.cosines / total, 6),
            },
            "kl_divergence": {
                "mean": round(float(np.mean(self.divergences)), 6),
                "worst": round(max(self.divergences), 6),
            }
            if self.divergences
            else None,
            "worst": [one.to_json() for one in self.worst],
        }
        if self.labels != "none":
            document["top1"] = [
                {
                    "package": name,
                    "right": hits,
                    "rate": hits / total,
                    "interval": list(wilson_interval(hits, self.images)),
                }
                for name, hits in zip(self.names, self.right, strict=True)
            ]
            document["right_in_first_only"] = self.only_first
            document["right_in_second_only"] = self.only_second
            document["mcnemar_p"] = mcnemar(self.only_first, self.only_second)
        return document


def comparison_page(found: PackageComparison, reports: Sequence[StoredReport]) -> str:
    """Return `zooc compare -o`'s page: what both answered, and their reports side by side.

    Args:
        found: the comparison.
        reports: of both packages.

    Raises:
        ZoocError: Z0662, a package's report data are damaged.
    """
    logits = [np.stack(rows) for rows in zip(*found.logits, strict=True)]
    with sound():
        return render_comparison(
            {**found.to_json(), "differ": found.images - found.same},
            found.parted,
            pairs_that_part(found.pairs),
            scatter_points(logits[0], logits[1]),
            reports,
        )


def mcnemar(first: int, second: int) -> float:
    """Two-sided exact p-value that two networks are right equally often, from the images that only one gets.

    Q. McNemar, Psychometrika 12 (1947), 153-157: the discordant images are tosses of a fair coin.
    """
    total = first + second
    tail = sum(math.comb(total, i) for i in range(min(first, second) + 1))
    return float(min(1.0, 2.0 * (tail / 2**total)))


def compare_packages(
    places: tuple[Path, Path],
    images: str,
    count: int | None,
    labels: str,
    keep: int,
    progress: Progress,
    workers: Workers = HERE,
) -> PackageComparison:
    """Run both packages on the same images, in batches; memory does not depend on their number.

    Args:
        places: the packages' folders.
        images: a folder, or another source of images.
        count: how many, a reproducible draw; `None` takes all.
        labels: `folders`, `none`, `auto` (the class folders if they fit) or a file of `name id`.
        keep: how many of the worst images to name.
        progress: told how far it is.
        workers: who runs the images.

    Raises:
        ZoocError: Z0497, a package or the folder cannot be used; Z0498, they cannot be compared.
    """
    try:
        models = [open_package(find_package(place)) for place in places]
        with retries_told(progress.note):
            found = LabelledImages.of(open_source(images), count)
        if not found:
            raise PackageError(f"{found.source.where}: no images there; check the place")
        _check_alike(models, places)
        truth, kind = _truth(models[0], found, labels)
    except PackageError as problem:
        raise ZoocError(error("Z0497", str(problem))) from None
    names = (models[0].manifest["name"], models[1].manifest["name"])
    if names[0] == names[1]:
        names = (os.fspath(places[0]), os.fspath(places[1]))
    result = PackageComparison(names, kind, keep)
    try:
        _compare(result, models, found, truth, workers, progress)
    except SourceError as problem:
        raise ZoocError(error("Z0497", str(problem))) from None
    if not result.images:
        message = f"none of the {len(found)} images can be used; the first: {result.skipped[0]}"
        raise ZoocError(error("Z0497", message, hint="check the folder"))
    return result


def _compare(
    result: PackageComparison,
    models: Sequence[Model],
    found: LabelledImages,
    truth: Sequence[int] | None,
    workers: Workers,
    progress: Progress,
) -> None:
    """Add all images to the result, in order.

    Raises:
        SourceError: the source of the images fails as a whole.
    """
    source, items = found.source, found.items
    bgr = swaps_channels(steps_from_json(models[0].manifest["preprocess"]["steps"]))
    images = [source.image(item) for item in items]
    classes: Sequence[int | None] = truth or [None] * len(items)
    with ExitStack() as held:
        advance = held.enter_context(progress.track("comparing", len(items)))
        held.enter_context(retries_told(progress.note))
        if isinstance(workers, Here):
            ahead = held.enter_context(ReadAhead(images))
            batches = iter(lambda: list(islice(ahead, _BATCH)), [])
            shards = workers.map(_Comparison(models, bgr), batches)
        else:
            files = [PackageFiles.read(model.manifest) for model in models]
            job = _ComparisonElsewhere(files, [model.engine for model in models], bgr)
            shards = workers.map(job, cut([portable(image) for image in images], _SHARD))
        answers = (seen for answers in in_order(shards) for seen in answers)
        for item, image, class_id, seen in zip(items, images, classes, answers, strict=True):
            if isinstance(seen, str):
                result.skipped.append(as_written(seen, image))
            else:
                picture = partial(getattr, seen, "picture")
                result.add(item.name, seen.logits, class_id, models[0].heads, picture)
            advance(1)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What both packages say of an image: logits, float `[scores]` each; a picture where they part."""

    logits: tuple[npt.NDArray[Any], ...]
    picture: str | None


@dataclass(frozen=True)
class _Comparison:
    """The job: images to what both packages say, or why an image cannot be read; batches of `_BATCH`."""

    models: Sequence[Model]
    bgr: bool

    def open(self) -> Callable[[Sequence[ImageLike]], list[_Seen | str]]:
        return self._run

    def _run(self, images: Sequence[ImageLike]) -> list[_Seen | str]:
        with ReadAhead(images) as ahead:
            batches = iter(lambda: list(islice(ahead, _BATCH)), [])
            return [seen for batch in batches for seen in self._batch(batch)]

    def _batch(self, images: Sequence[ImageLike]) -> list[_Seen | str]:
        pixels: list[list[npt.NDArray[Any]]] = []
        found: list[_Seen | str] = []
        for image in images:
            try:
                pixels.append([model.pixels(image) for model in self.models])
                found.append("")
            except SourceError:
                raise
            except PackageError as problem:
                found.append(str(problem))
        if not pixels:
            return found
        both = enumerate(self.models)
        logits = [model.run_tensor(np.stack([row[i] for row in pixels])) for i, model in both]
        seen = (self._seen(own[0], rows) for own, *rows in zip(pixels, *logits, strict=True))
        return [problem or next(seen) for problem in found]

    def _seen(self, pixels: npt.NDArray[Any], rows: Sequence[npt.NDArray[Any]]) -> _Seen:
        heads = self.models[0].heads
        one, other = (decisions_of(heads, np.asarray(row, np.float64)[None])[0].tolist() for row in rows)
        return _Seen(tuple(rows), None if one == other else data_uri(pixels, bgr=self.bgr))


@dataclass(frozen=True)
class _ComparisonElsewhere:
    """The same in a form that can be pickled, for workers of one CPU each, in these engines."""

    packages: Sequence[PackageFiles]
    engines: Sequence[str]
    bgr: bool

    def open(self) -> Callable[[Sequence[ImageLike]], list[_Seen | str]]:
        settings = ({"engine": engine, "threads": 1, "streams": 1} for engine in self.engines)
        models = [package.open(own) for package, own in zip(self.packages, settings, strict=True)]
        return _Comparison(models, self.bgr).open()


def _check_alike(models: Sequence[Model], places: Sequence[Path]) -> None:
    first, second = models
    message = None
    kinds = [[(head.name, head.classes, head.activation) for head in model.heads] for model in models]
    if first.classes != second.classes:
        message = f"{places[0]} has {first.classes} classes, {places[1]} has {second.classes}"
    elif first.labels and second.labels and first.labels != second.labels:
        message = f"{places[0]} and {places[1]} have different labels"
    elif kinds[0] != kinds[1] and (
        len(first.heads) > 1 or first.heads[0].multi_label or first.heads[0].embeds
    ):
        message = f"{places[0]} and {places[1]} have different heads"
    else:
        tensors = [place for place, model in zip(places, models, strict=True) if not model.takes_images]
        message = f"{tensors[0]} takes tensors, not images" if tensors else None
    if message is not None:
        hint = "compare two compiles of networks with the same classes"
        raise ZoocError(error("Z0498", message, hint=hint))


def _truth(model: Model, found: LabelledImages, labels: str) -> tuple[list[int] | None, str]:
    single = _single_class(model)
    if labels == "none" or (labels == "auto" and not single):
        return None, "none"
    if not single:
        raise PackageError(f"{model.manifest['name']} gives no single class an image; write --labels none")
    classes = Classes(model.heads[0].names, model.labels)
    if labels not in ("auto", "folders"):
        return found.class_ids(classes, labels), labels
    try:
        return found.class_ids(classes), found.kind_of_labels
    except PackageError:
        if labels == "folders":
            raise
        return None, "none"


def _single_class(model: Model) -> bool:
    """Whether the package gives one class an image."""
    return len(model.heads) == 1 and not model.heads[0].multi_label and not model.heads[0].embeds


def _cosine(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    lengths = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / lengths if lengths else float(not first.any() and not second.any())
