"""One layer in integers in small networks: operands that several layers share, results that are rounded."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from zooc.accuracy.dequantized_reference import dequantized_reference
from zooc.accuracy.integer_graph import IntegerGraph
from zooc.accuracy.sensitivity import measure_sensitivity


class Elsewhere:
    """Workers that everything goes to, and comes from, pickled; the last shard is the first to be done."""

    def map(self, job: Any, shards: Any) -> Iterator[tuple[int, Any]]:
        work = pickle.loads(pickle.dumps(job, 5)).open()
        for place, shard in reversed(list(enumerate(shards))):
            yield place, pickle.loads(pickle.dumps(work(shard), 5))


def shares_a_scalar(net: Callable[..., Any]) -> Any:
    n = net()
    x, three = n.conv(n.begin(), 3, 8, name="stem"), n.store("three", 3.0)
    for index in range(2):
        x = n.conv(n.add("Add", x, three, name=f"shift{index}"), 8, 8, name=f"conv{index}")
    n.head(x, 8)
    return n


def ends_in_a_convolution(net: Callable[..., Any]) -> Any:
    n = net()
    n.finish(n.conv(n.conv(n.begin(), 3, 8, name="stem"), 8, 4, name="last"))
    return n


@pytest.mark.parametrize("of_package", [False, True], ids=["float weights", "integer weights"])
@pytest.mark.parametrize("make", [shares_a_scalar, ends_in_a_convolution])
def test_every_layer_runs_alone(
    make: Callable[..., Any], of_package: bool, net: Any, quantized: Callable[..., Any]
) -> None:
    n = make(net)
    body, images = n.model(), n.images()
    graph = IntegerGraph(quantized(body, images).model)
    reference = dequantized_reference(graph) if of_package else body
    layers = [layer for layer in graph.layers if layer.int8]
    found = measure_sensitivity(reference, graph, layers, [images])
    assert [one.layer.name for one in found] == [layer.name for layer in layers]
    assert all(20 < one.agreement.sqnr_db < math.inf for one in found)
    assert measure_sensitivity(reference, graph, layers, [images], workers=Elsewhere()) == found
