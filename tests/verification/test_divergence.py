"""How far the probabilities of two networks are apart, and what they say in words."""

from __future__ import annotations

import math

import numpy as np
import pytest

from zooc.verification.divergence import divergences, said
from zooc_runtime.package.heads import Head


def test_softmax_by_hand() -> None:
    first, second = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.5, 0.25]])
    found = divergences((Head(3),), first, second)
    assert found is not None
    assert found[0] == pytest.approx(0.5 * math.log(2) + 0.25 * math.log(0.5))


def test_sigmoids_add_up() -> None:
    head = Head(2, activation="sigmoid")
    logit = math.log(0.8 / 0.2)
    found = divergences((head,), np.array([[0.0, logit]]), np.array([[logit, logit]]))
    assert found is not None
    assert found[0] == pytest.approx(0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2))


def test_equal_and_extreme_logits() -> None:
    logits = np.array([[1e4, -1e4, 0.0], [3.0, 2.0, 1.0]], np.float32)
    for head in (Head(3), Head(3, activation="sigmoid")):
        found = divergences((head,), logits, logits)
        assert found is not None
        assert np.abs(found).max() < 1e-9


def test_heads_add_up_and_embeddings_have_none() -> None:
    embedding = Head(2, name="embedding", begin=3, activation="l2_normalize")
    logits = np.array([[1.0, 2.0, 3.0, 5.0, 6.0]])
    other = np.array([[3.0, 2.0, 1.0, 9.0, 9.0]])
    assert divergences((embedding,), logits, other) is None
    alone = divergences((Head(3, name="kind"),), logits, other)
    both = divergences((Head(3, name="kind"), embedding), logits, other)
    assert alone is not None and both is not None
    assert alone[0] == both[0] > 0


def test_words() -> None:
    kind = Head(2, name="kind", labels=("cat", "dog"))
    marks = Head(2, name="marks", begin=2, activation="sigmoid", labels=("red", "big"))
    assert said((kind, marks), np.array([1.0, 2.0, 3.0, -3.0])) == "kind: dog; marks: red"
    assert said((marks,), np.array([0.0, 0.0, -3.0, -3.0])) == "marks: none"
