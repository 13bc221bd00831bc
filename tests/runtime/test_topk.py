"""Softmax, the best classes, labels."""

from __future__ import annotations

import numpy as np
import pytest

from zooc_runtime.classes import parse_labels, softmax, top_k
from zooc_runtime.errors import PackageError


def test_softmax_is_stable_and_float32() -> None:
    got = softmax(np.array([[1e4, 1e4, -1e4], [0, 0, 0]], np.float32))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, [[0.5, 0.5, 0], [1 / 3] * 3], rtol=1e-6)


def test_equal_probabilities_are_ordered_by_class_id() -> None:
    assert top_k(np.array([0.1, 0.4, 0.1, 0.4], np.float32), 3) == [1, 3, 0]


def test_more_classes_than_there_are_gives_all() -> None:
    assert top_k(np.array([0.2, 0.8], np.float32), 9) == [1, 0]


def test_no_classes_are_refused() -> None:
    with pytest.raises(PackageError, match="topk 0"):
        top_k(np.zeros(3, np.float32), 0)


def test_labels_are_lines_and_may_repeat_or_be_empty() -> None:
    assert parse_labels("crane\ncrane\n\n", 3) == ("crane", "crane", "")
    assert parse_labels("a\nb", 2) == ("a", "b")
    assert parse_labels("odd\u2028one\nb\n", 2)[0] == "odd\u2028one"


def test_a_wrong_number_of_labels_is_refused() -> None:
    with pytest.raises(PackageError, match="2 labels for 3 classes"):
        parse_labels("a\nb\n", 3)
