"""Rates of multi-label classifiers and of embeddings, against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zooc_runtime.errors import PackageError
from zooc_runtime.evaluation.ground_truth import Classes, label_sets, sides_by_folders
from zooc_runtime.evaluation.multi_label import MultiLabelEvaluation, average_precision
from zooc_runtime.evaluation.retrieval import RetrievalEvaluation
from zooc_runtime.package.heads import Head


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([3, 100]))
def test_average_precision_is_scikit_learns(seed: int, count: int, levels: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    scores = random.integers(0, levels, count) / levels  # few levels: many equal scores
    positive = random.random(count) < 0.4
    positive[0] = True
    assert average_precision(scores, positive) == pytest.approx(
        metrics.average_precision_score(positive, scores)
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rates_are_scikit_learns(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(seed)
    scores = random.random((30, 4)).astype(np.float32)
    wanted = random.random((30, 4)) < 0.4
    wanted[:4] |= np.eye(4, dtype=bool)
    truth = [frozenset(map(int, np.flatnonzero(row))) for row in wanted]
    document = MultiLabelEvaluation(
        Head(4, activation="sigmoid", threshold=0.5), list(scores), truth
    ).to_json()
    for average, rates in (("macro", document), ("micro", document["micro"])):
        found = metrics.precision_recall_fscore_support(
            wanted, scores >= 0.5, average=average, zero_division=0
        )
        assert [rates["precision"], rates["recall"], rates["f1"]] == pytest.approx(
            [100 * rate for rate in found[:3]]
        )
    assert document["map"] == pytest.approx(100 * metrics.average_precision_score(wanted, scores))


def test_recall_counts_the_nearest_other_image() -> None:
    angles = np.radians([0, 5, 90, 95, 7, 180])
    embeddings = list(np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32))
    result = RetrievalEvaluation(embeddings, ["a", "a", "b", "b", "b", "alone"])
    document = result.to_json()
    # 0 finds 5: right. 5 finds 7 and 7 finds 5: wrong. 90 and 95 find each other. `alone` is no query.
    assert (document["queries"], document["found"], document["images"]) == (5, 3, 6)
    assert document["recall_at_1"] == pytest.approx(60)


def test_a_list_of_classes_an_image_is_read(tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "truth.txt"
    file.write_text("a.png 0,2\nb.png -\nc.png 1\n")
    assert label_sets(["a.jpg", "b.jpg", "c.jpg"], file, Classes(3)) == [{0, 2}, set(), {1}]
    for wrong in ("a.png 0,3\n", "a.png x\n", "a.png 0,\n", "a.png\n"):
        file.write_text(wrong)
        with pytest.raises(PackageError, match=r"truth\.txt:1: a file name and class ids below 3"):
            label_sets(["a.jpg"], file, Classes(3))


def test_the_sides_of_one_score_come_from_two_folders() -> None:
    assert sides_by_folders(["cat", "dog", "cat"], None, "x") == [set(), {0}, set()]
    assert sides_by_folders(["cat", "dog", "cow"], "cat", "x") == [{0}, set(), set()]
    with pytest.raises(PackageError, match="3 class folders for one score"):
        sides_by_folders(["cat", "dog", "cow"], "horse", "x")
