"""The whole graph beside its stages: what users of `model.onnx` get, and what this package computes.

ONNX Runtime optimizes the whole graph across the borders of its stages, and may do it wrongly
(`docs/design/portability.md`). So it is run as others run it, at the engine's default settings, and must give
the stages' answers to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ..errors import PackageError
from ..package.stages import STAGE_NAMES, Graph
from ..support.arrays import AnyArray, fill_batch
from .engines import import_engine, one_line

__all__ = ["Whole"]


class Whole:
    """`model.onnx` opened twice: whole, and stage by stage; both by ONNX Runtime at its default settings.

    Args:
        model: the bytes of `model.onnx`.
        boundaries: the manifest's `stages`.
        batch: the network's fixed batch, `None` where it is free.

    Raises:
        PackageError: ONNX Runtime refuses the model, whole or a stage of it.
    """

    def __init__(
        self, model: bytes, boundaries: Mapping[str, Mapping[str, str] | None], batch: int | None
    ) -> None:
        graph = Graph(model)
        self._whole = _open(model, "the whole graph")
        self._stages = [
            (name, _open(graph.cut(name, [boundary["input"]], [boundary["output"]]), f"the {name}"))
            for name in STAGE_NAMES
            if (boundary := boundaries[name]) is not None
        ]
        self._batch = batch

    def differences(self, inputs: Iterable[AnyArray]) -> Iterator[str]:
        """Yield what the whole graph answers otherwise than its stages, none if it agrees to the bit.

        Args:
            inputs: what the graph takes: images `uint8 [H, W, channels]`, frames, or tensors `float32`.
        """
        for given in inputs:
            wanted = self._staged(given)
            first = fill_batch(given, self._batch) if self._stages[0][0] == "body" else given
            try:
                got, *heads = _run_all(self._whole, first)
            except Exception as error:  # ONNX Runtime's errors share no public base
                yield f"the whole graph fails on an input of shape {list(given.shape)}: {one_line(error)}"
                continue
            if got.shape != wanted.shape:
                yield f"the whole graph answers {list(got.shape)}, its stages answer {list(wanted.shape)}"
            elif not np.array_equal(got, wanted, equal_nan=True):
                most = float(np.abs(got.astype(np.float64) - wanted).max())
                shape = list(given.shape)
                yield f"the whole graph differs from its stages by {most:.3g} on an input of shape {shape}"
            elif heads and not np.array_equal(np.concatenate(heads, axis=-1), got, equal_nan=True):
                yield f"the heads' outputs are other than the first on an input of shape {list(given.shape)}"

    def _staged(self, value: AnyArray) -> AnyArray:
        for name, session in self._stages:
            value = _run(session, value if name == "prelude" else fill_batch(value, self._batch))
        return value


def _open(model: bytes, what: str) -> Any:
    onnxruntime = import_engine("onnxruntime", "pip install onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # no setting that changes a result
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise PackageError(
            f"ONNX Runtime {onnxruntime.__version__} cannot load {what} ({one_line(error)})"
        ) from None


def _run(session: Any, value: AnyArray) -> AnyArray:
    return _run_all(session, value)[0]


def _run_all(session: Any, value: AnyArray) -> list[AnyArray]:
    results: list[AnyArray] = session.run(None, {session.get_inputs()[0].name: value})
    return results
