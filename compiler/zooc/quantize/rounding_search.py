"""The search of adaptive rounding: which weights to round the other way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["search_rounding"]

Floats = npt.NDArray[np.float32]

_MOST_SWEEPS = 8
_BLOCK = 64


def search_rounding(error: Floats, change: Floats, form: Floats) -> npt.NDArray[np.bool_]:
    """The weights to change so that `d form d^T` becomes small, `d` a channel's weight errors.

    Coordinate descent: one weight of every channel after the other is changed, or changed back, if that
    lowers its channel's form; until a sweep changes none. The form never rises, so the result is no worse
    than the start. The gradient of a block of weights is kept up to date weight by weight, that of the others
    block by block, which makes nearly all the work matrix products.

    Args:
        error: of the weights at the start, `[groups, channels, inputs]`.
        change: what changing a weight adds to its error, the same shape; 0 where it must not change.
        form: symmetric, positive semidefinite, `[groups, inputs, inputs]`.

    Returns:
        bool `[groups, channels, inputs]`.
    """
    changed = np.zeros(error.shape, np.bool_)
    slope = error @ form  # half the gradient
    for _ in range(_MOST_SWEEPS):
        before = changed.copy()
        for start in range(0, error.shape[-1], _BLOCK):
            block = slice(start, start + _BLOCK)
            part = form[:, block, block]
            moves = _descend(slope[..., block], change[..., block], part, changed[..., block])
            slope += moves @ form[:, block]
        if np.array_equal(changed, before):
            break
    return changed


def _descend(slope: Floats, change: Floats, form: Floats, changed: npt.NDArray[np.bool_]) -> Floats:
    """One pass over a block; what it added to the errors. `changed` is updated in place."""
    slope, moves = slope.copy(), np.zeros_like(slope)
    for place in range(slope.shape[-1]):
        step = np.where(changed[..., place], -change[..., place], change[..., place])
        better = step * (2 * slope[..., place] + step * form[:, place, place, None]) < 0
        moves[..., place] = move = np.where(better, step, np.float32(0))
        changed[..., place] ^= better
        slope += move[..., None] * form[:, place, None]
    return moves
