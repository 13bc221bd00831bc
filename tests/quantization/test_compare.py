from __future__ import annotations

import math

import numpy as np
import pytest

from zooc.verification.agreement import compare_logits, cosine, sqnr_db, top1_agreement


def test_equal_arrays_agree_fully() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    found = compare_logits(logits, logits)
    assert (found.sqnr_db, found.top1) == (math.inf, 1.0)
    assert found.cosine == pytest.approx(1.0)


def test_sqnr_is_in_decibels_of_power() -> None:
    assert sqnr_db(np.array([[10.0, 0.0]]), np.array([[10.0, 1.0]])) == pytest.approx(20.0)
    assert sqnr_db(np.zeros((1, 2)), np.ones((1, 2))) == -math.inf


def test_cosine_of_zero_rows() -> None:
    first, second = np.array([[0.0, 0], [0, 0], [1, 0]]), np.array([[0.0, 0], [1, 0], [0, 1]])
    assert cosine(first, second) == pytest.approx(1 / 3)


def test_top1_is_a_share_of_rows() -> None:
    assert top1_agreement(np.eye(4), np.eye(4)[[0, 1, 3, 2]]) == 0.5
