"""A network that is quantized by one placement after the other, opened in engines and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import onnx

from zooc.accuracy.search.output_noise import OutputNoise, noise_db
from zooc.calibration.ranges import Ranges
from zooc.deployment import Quantize
from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.graph import read_graph
from zooc.ir.session import open_session
from zooc.quantization.placement import place
from zooc.quantization.qdq import quantize_body
from zooc.tuning.race import Verdict, compare_openings, race
from zooc.tuning.runners import Runner, seconds_of
from zooc_runtime.errors import PackageError
from zooc_runtime.inference.cpu import available_cores

__all__ = ["NetworkBench"]

_RUNS = {"wall": 1, "cpu": 3}
"""Of how many runs the least time counts. CPU time leaves out what other processes take, but for what they
take of the caches; where they interrupt most runs of wall time, nothing else can be compared."""

_NOTHING: frozenset[str] = frozenset()


class NetworkBench:
    """The network by layers in float beside the rules', opened and timed; see `zooc.tuning.search.Bench`.

    Attributes:
        clock: one of `CLOCKS`.
        margin: by how much the second of two networks must be faster for their race to go on.
        on_verdict: called before each race of the search.
    """

    def __init__(
        self,
        body: onnx.ModelProto,
        ranges: Ranges,
        quantize: Quantize,
        noise: OutputNoise,
        engines: Sequence[str],
        goal: str,
        seconds: float,
    ) -> None:
        """Begin to count the time.

        Args:
            body: float, as it is quantized.
            ranges: of all tensors that are rounded by any placement.
            quantize: the rules' settings.
            noise: of the logits.
            engines: those that are timed together.
            goal: one of `zooc_runtime.inference.settings.HINTS`.
            seconds: after which `is_over`.
        """
        self._body, self._ranges, self._quantize, self._noise = body, ranges, quantize, noise
        self._graph = read_graph(body)
        self._engines, self._goal = engines, goal
        self._cores = available_cores()
        self._until = time.monotonic() + seconds
        self._open: dict[frozenset[str], list[Runner]] = {}
        self.clock, self.margin = "wall", 0.0
        self.on_verdict: Callable[[], None] = lambda: None

    def integers(self, layers: frozenset[str]) -> frozenset[str]:
        """Return the nodes that compute in integers, their neighbours considered."""
        plans = place(self._graph, self._placed(layers)).nodes
        return frozenset(name for name, plan in plans.items() if plan.int8)

    def compare(self, before: frozenset[str], after: frozenset[str]) -> Verdict:
        """Time both in turn."""
        self.on_verdict()
        self._open = {layers: found for layers, found in self._open.items() if layers == before}
        for layers in (before, after):
            if layers not in self._open:
                self._open[layers] = self._runners(self.model(layers))
        return race(self._open[before], self._open[after], self._time, self.margin)

    def sqnr_db(self, layers: frozenset[str]) -> float:
        """Return the logits' signal-to-noise ratio."""
        return noise_db(self._noise.of(open_session(self.model(layers), threads=1), "held"))

    def is_over(self) -> bool:
        """Tell whether the time is up."""
        return time.monotonic() > self._until

    def model(self, layers: frozenset[str]) -> onnx.ModelProto:
        """Return the body in int8 but for these layers; its biases are not corrected, which takes no time."""
        return quantize_body(self._body, self._ranges, self._placed(layers)).model

    def against_itself(self) -> Verdict:
        """Compare the network by the rules with itself: what differs is noise."""
        return self._fresh(self.model(_NOTHING), self.model(_NOTHING))

    def final(self, layers: frozenset[str]) -> Verdict:
        """Compare the rules with the placement that was found, both opened anew."""
        return self._fresh(self.model(_NOTHING), self.model(layers))

    def over_float(self, body: onnx.ModelProto, layers: frozenset[str]) -> Verdict:
        """Compare the float32 network with the placement that was found."""
        return self._fresh(body, self.model(layers))

    def _fresh(self, first: onnx.ModelProto, second: onnx.ModelProto) -> Verdict:
        self._open = {}
        return compare_openings(lambda: (self._runners(first), self._runners(second)), self._time)

    def _time(self, runner: Runner) -> float:
        return min(seconds_of(runner, self.clock) for _ in range(_RUNS[self.clock]))

    def _runners(self, model: onnx.ModelProto) -> list[Runner]:
        try:
            return [Runner(model, engine, self._goal, self._cores) for engine in self._engines]
        except PackageError as problem:
            hint = "leave that engine out with --engine"
            raise ZoocError(error("Z0438", f"cannot time the network: {problem}", hint=hint)) from None

    def _placed(self, layers: frozenset[str]) -> Quantize:
        return replace(self._quantize, placed=tuple(sorted(layers)))
