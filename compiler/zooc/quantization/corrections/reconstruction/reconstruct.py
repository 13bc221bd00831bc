"""Reconstruction of an int8 body, block after block."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from zooc.calibration.file import model_sha256
from zooc.ir.count import count_macs
from zooc.ir.graph import read_graph, shape_of
from zooc.ir.interface import input_of
from zooc.ir.session import open_session
from zooc.ir.weights import StoredTensors
from zooc.quantization.corrections.quantized_layers import QuantizedLayer, quantized_layers
from zooc.quantization.corrections.reconstruction.blocks import Block, blocks_of, extract
from zooc.support.cache import Cache, key
from zooc.support.memory import release
from zooc.support.progress import Progress

__all__ = ["FEWEST_IMAGES", "can_learn", "reconstruct"]

_VERSION = 1
"""Part of the cache key: raised when the same block would be learned otherwise."""

_MOST_STEPS, _FEWEST_STEPS = 100, 50
_MACS = 4e10
"""Of all steps on a single image; a large network takes fewer steps."""

_TOGETHER = 8
"""Images that go through torch at once."""

_HELD_BACK = 0.25
"""Of the images: they tell whether a block became better."""

FEWEST_IMAGES = 8

_MOST_BYTES = 2**28
"""Of one tensor between two blocks, over all images."""

_AGREEMENT = 0.05
"""How far torch's noise of a block may be from ONNX Runtime's, as a share of it."""

Batches = Sequence[npt.NDArray[Any]]
Arrays = npt.NDArray[Any]
Learned = dict[str, tuple[Arrays, Arrays]]
"""A block's new int8 weights and int32 biases (empty without one), by the layer's name."""


def can_learn() -> bool:
    """Tell whether torch is here to learn with."""
    try:
        import torch  # noqa: F401
    except (ImportError, OSError):  # a library of it that does not load
        return False
    return True


def reconstruct(
    body: onnx.ModelProto,
    quantized: onnx.ModelProto,
    batches: Batches,
    cache: Cache,
    *,
    progress: Progress,
    bounded: bool = False,
) -> int:
    """Learn the weights and biases of each block of an int8 body against the float network, by gradient.

    Blocks are learned in the network's order, each on what the blocks before it give now. A block keeps what
    it had where it has an operator that `operators.run` does not know, where that gives other results than
    ONNX Runtime, and where its noise on images that were held back does not fall; and all do, where that of
    the network's output does not. What was learned is kept in the cache, block by block: an interrupted
    command continues there, and the next one gives the same bytes.

    Needs torch, see `can_learn`.

    Args:
        body: float32, the one that was quantized.
        quantized: its QDQ form, after the other corrections; weights and int32 biases are changed in place.
        batches: calibration images, of equal size each; 64 do.
        cache: keeps the blocks.
        progress: told about each block.
        bounded: keep every pair of weights from overflowing 16 bits (`saturation.py`).

    Returns:
        how many blocks became better.
    """
    layers = {layer.node.name: layer for layer in quantized_layers(body, quantized)}
    blocks = _blocks(body, quantized, layers)
    size = input_of(body).sizes[0]
    exact = given = _images(body, blocks, np.concatenate(batches), size or 1)
    held = int(len(exact) * _HELD_BACK) // (size or 1) * (size or 1)
    if not held:
        return 0
    steps = _steps(count_macs(body, size or 1) // (size or 1))
    settings = model_sha256(body), model_sha256(quantized), _sha256(exact), bounded, steps
    kept = _Kept(cache, key(_VERSION, *settings))
    stored, better = StoredTensors(quantized), 0
    original = {name: _integers(layer, stored) for name, layer in layers.items()}
    pixels, logits = exact[:held], _run(body, exact[:held], size)
    noise_before = _noise(_run(quantized, pixels, size), logits)
    with progress.track("reconstructing blocks", len(blocks)) as advance:
        for number, block in enumerate(blocks):
            part = extract(quantized, block)
            wanted, made = _run(extract(body, block), exact, size), _run(part, given, size)
            learned = kept.load(number)
            if learned is None:
                mine = [layers[layer] for layer in block.layers]
                task = _Task(part, mine, exact, given, wanted, made, held, size)
                learned = task.learn(steps, bounded=bounded)
                kept.save(number, learned)
            if learned:
                _store(learned, layers, StoredTensors(part))
                now = _run(part, given, size)
                if _noise(now[:held], wanted[:held]) < _noise(made[:held], wanted[:held]):
                    better, made = better + 1, now
                    _store(learned, layers, stored)
            exact, given = wanted, made
            release()
            advance(1)
    if better and not _noise(_run(quantized, pixels, size), logits) < noise_before:
        _store(original, layers, stored)
        return 0
    return better


@dataclass(frozen=True)
class _Task:
    """A block to learn: its QDQ form and layers, what float and int8 read and make there."""

    model: onnx.ModelProto
    layers: Sequence[QuantizedLayer]
    exact: Arrays
    given: Arrays
    wanted: Arrays
    made: Arrays
    held: int
    size: int | None

    def learn(self, steps: int, *, bounded: bool) -> Learned:
        """Return the block's new integers; none where they are to stay."""
        from zooc.quantization.corrections.reconstruction.learn import BlockImages, BlockLearner
        from zooc.quantization.corrections.reconstruction.operators import unsupported

        graph = read_graph(self.model)
        if not self.layers or unsupported(graph):
            return {}
        images = BlockImages.of(self.exact, self.given, self.wanted)
        noise = _noise(self.made[: self.held], self.wanted[: self.held])
        for together in dict.fromkeys((_TOGETHER, self.size or 1)):  # few graphs need the batch they declare
            learner = BlockLearner(graph, self.layers, together, bounded=bounded)
            try:
                found = learner.noise(images[: self.held])
            except (RuntimeError, ValueError, TypeError, LookupError):  # an operator in an unknown form
                continue
            if abs(found - noise) <= _AGREEMENT * noise:
                learner.learn(images[self.held :], steps)
                return learner.learned()
        return {}


def _noise(values: Arrays, exact: Arrays) -> float:
    """The noise power over the signal's."""
    return float(np.square(values - exact).sum() / max(np.square(exact).sum(), 1e-30))


def _integers(layer: QuantizedLayer, stored: StoredTensors) -> tuple[Arrays, Arrays]:
    bias = stored[layer.stored_bias[0]] if layer.stored_bias is not None else np.zeros(0, np.int32)
    return stored[layer.stored_weight[0]], bias


def _store(integers: Learned, layers: Mapping[str, QuantizedLayer], stored: StoredTensors) -> None:
    for name, (levels, bias) in integers.items():
        layer = layers[name]
        stored[layer.stored_weight[0]] = levels
        if layer.stored_bias is not None:
            stored[layer.stored_bias[0]] = bias


class _Kept:
    """What was learned, in the cache, block by block."""

    def __init__(self, cache: Cache, name: str) -> None:
        self._cache, self._name = cache, name

    def load(self, block: int) -> Learned | None:
        """Return what an earlier run learned of a block."""
        path = self._cache.get("reconstructions", f"{self._name}-{block}")
        if path is None:
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                names = [str(name) for name in file["layers"]]
                return {name: (file[f"levels{i}"], file[f"bias{i}"]) for i, name in enumerate(names)}
        except (OSError, ValueError, LookupError):
            return None

    def save(self, block: int, learned: Learned) -> None:
        """Keep it."""
        arrays: dict[str, Arrays] = {"layers": np.array(list(learned), np.str_)}
        for number, (levels, bias) in enumerate(learned.values()):
            arrays |= {f"levels{number}": levels, f"bias{number}": bias}

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

        self._cache.put("reconstructions", f"{self._name}-{block}", write)


def _steps(macs: int) -> int:
    return int(np.clip(_MACS / max(macs, 1), _FEWEST_STEPS, _MOST_STEPS))


def _sha256(values: Arrays) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def _blocks(
    body: onnx.ModelProto, quantized: onnx.ModelProto, layers: Mapping[str, QuantizedLayer]
) -> list[Block]:
    """They end where the int8 network rounds."""
    behind = {node.inputs[0].name for node in read_graph(quantized).nodes if node.op == "QuantizeLinear"}
    return blocks_of(read_graph(body), layers, behind)


def _images(body: onnx.ModelProto, blocks: Sequence[Block], images: Arrays, size: int) -> Arrays:
    """As many of the images, in whole batches, as memory allows."""
    tensors = read_graph(body).tensors()
    shapes = [shape_of(tensors[block.result]) or () for block in blocks]
    largest = max(math.prod(n or 1 for n in shape[1:]) for shape in shapes)
    count = min(len(images), max(_MOST_BYTES // (4 * largest), 4 * size))
    return images[: count // size * size]


def _run(model: onnx.ModelProto, values: Arrays, size: int | None) -> Arrays:
    session = open_session(model)
    (name,) = (value.name for value in session.get_inputs())
    step = size or 1
    batches = (values[start : start + step] for start in range(0, len(values), step))
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])
