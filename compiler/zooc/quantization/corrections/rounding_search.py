"""The search of adaptive rounding: which weights to round the other way."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["search_rounding"]

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_MOST_SWEEPS = 4
_BLOCK = 32


def search_rounding(error: Floats, change: Floats, form: Floats) -> Flags:
    """Return the weights to change so that `d form d^T` becomes small, `d` a channel's weight errors.

    Coordinate descent: one weight of every channel after the other is changed, or changed back, if that
    lowers its channel's form; until a sweep changes none, or four times. The form never rises, so the result
    is no worse than the start. The gradient of a block of weights is kept up to date weight by weight, that
    of the others block by block, which makes nearly all the work matrix products.

    Args:
        error: of the weights at the start, `[groups, channels, inputs]`.
        change: what changing a weight adds to its error, the same shape; 0 where it must not change.
        form: symmetric, positive semidefinite, `[groups, inputs, inputs]`.

    Returns:
        bool `[groups, channels, inputs]`.
    """
    step = np.array(change.swapaxes(1, 2), order="C")  # what is read together lies together
    slope = form @ error.swapaxes(1, 2)  # half the gradient
    changed = np.zeros(step.shape, np.bool_)
    for _ in range(_MOST_SWEEPS):
        before = changed.copy()
        for start in range(0, step.shape[1], _BLOCK):
            block = slice(start, start + _BLOCK)
            moves = _descend(slope[:, block].copy(), step[:, block], form[:, block, block], changed[:, block])
            slope += form[:, :, block] @ moves
        if np.array_equal(changed, before):
            break
    return np.asarray(changed.swapaxes(1, 2))


def _descend(slope: Floats, step: Floats, form: Floats, changed: Flags) -> Floats:
    """One pass over a block, `[groups, inputs, channels]`; what it adds to the errors.

    `step` and `changed` are kept up to date, `slope` for the weights that come after.
    """
    moves = np.zeros_like(slope)
    for place in range(slope.shape[1]):
        now = step[:, place]
        better = now * (2 * slope[:, place] + now * form[:, place, place, None]) < 0
        moves[:, place] = move = np.where(better, now, np.float32(0))
        slope[:, place + 1 :] += form[:, place, place + 1 :, None] * move[:, None]
        now -= 2 * move
        changed[:, place] ^= better
    return moves
