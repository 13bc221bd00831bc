"""A float network's activations, a batch at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from zooc.calibration.histogram import NotFiniteError
from zooc.ir.interface import input_of, output_of
from zooc.ir.session import open_session

__all__ = ["ActivationReader"]

Batch = npt.NDArray[Any]
Values = dict[str, Batch]


class ActivationReader:
    """Runs a network for the values of its tensors, on any number of threads at once.

    A call computes on the thread that makes it: a result does not depend on what else runs. The memory of the
    values serves again once they are done with: to ask the system for 100 MB anew for every image would take
    nearly as long as the network itself.
    """

    def __init__(
        self,
        body: onnx.ModelProto,
        tensors: Sequence[str],
        weights: Mapping[str, onnxruntime.OrtValue] | None = None,
    ) -> None:
        """Opens `body`, float32, which is not changed; `tensors` may name its input and output too.

        `weights` are those that `body` was left without.
        """
        self._source, self._answer = input_of(body).name, output_of(body).name
        self._tensors = tuple(tensors)
        self._computed = [name for name in dict.fromkeys(tensors) if name not in (self._source, self._answer)]
        self._session = open_session(
            body, threads=1, outputs=self._computed, weights=weights, keep_memory=False
        )
        self._free: defaultdict[Any, list[Values]] = defaultdict(list)

    @contextmanager
    def __call__(self, batch: Batch) -> Iterator[Values]:
        """The values of the tensors for one batch, valid inside the `with` only.

        Raises:
            NotFiniteError: the logits are the first to be NaN or infinite; other tensors are not looked at.
        """
        batch = np.asarray(batch)
        free = self._free[batch.shape, batch.dtype]
        try:
            used = free.pop()
        except IndexError:
            values = self._run(batch)
        else:
            values = self._run_into(used, batch)
        if not np.isfinite(values[self._answer]).all():
            finite = (np.isfinite(values[name]).all() for name in self._computed)
            if all(finite):
                raise NotFiniteError(self._answer, values[self._answer])
        every = {**values, self._source: batch}
        yield {name: every[name] for name in self._tensors}
        free.append(values)

    def drop_memory(self) -> None:
        """Keep no memory of values for the next call."""
        self._free.clear()

    def _run(self, batch: Batch) -> Values:
        """In new memory: the results' shapes are known afterwards only."""
        names = [*self._computed, self._answer]
        found = self._session.run(names, {self._source: batch})
        return dict(zip(names, found, strict=True))

    def _run_into(self, values: Values, batch: Batch) -> Values:
        """In the memory of another batch's results."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._source, batch)
        for name, value in values.items():
            binding.bind_output(name, "cpu", 0, value.dtype.type, value.shape, value.ctypes.data)
        self._session.run_with_iobinding(binding)
        return values
