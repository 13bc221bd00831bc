"""vamc's older layout (`model`, `engine`, `dataset.transform_ops`) in terms of the present one."""

from __future__ import annotations

from zooc.diagnostics.diagnostic import Span
from zooc.vastai.yaml_tree import Node

__all__ = ["modernized"]

_PATHS = {
    ("model", "name"): ("name",),
    ("model", "inputs"): ("frontend", "shape"),
    ("model", "checkpoint"): ("frontend", "checkpoint"),
    ("model", "type"): ("frontend", "type"),
    ("engine", "type"): ("backend", "type"),
    ("engine", "add_extra_ops_to_graph"): ("graph", "extra_ops"),
    ("engine", "calibration", "quant_mode"): ("backend", "quantize", "calibrate_mode"),
    ("engine", "calibration", "per_channel"): ("backend", "quantize", "quantize_per_channel"),
    ("dataset", "path"): ("dataset", "path"),
    ("dataset", "sampler"): ("dataset", "sampler"),
    ("dataset", "transform_ops"): ("dataset", "process_ops"),
    ("workspace",): ("workspace",),
}


def modernized(root: Node) -> Node:
    """Return the same configuration in the present layout; the places stay those of the file.

    `engine.common.do_quantization` becomes a data type, int8 or fp16. Other keys of the old layout have no
    effect here and are dropped.
    """
    if "model" not in root.value or "frontend" in root.value:
        return root
    result = Node({}, root.span, {})
    for path, target in _PATHS.items():
        found = _find(root, path)
        if found is not None:
            _put(result, target, *found)
    if (engine := root.value.get("engine")) is not None:
        quantized = _find(root, ("engine", "common", "do_quantization"))
        value, span = quantized or (Node(True, engine.span), root.keys["engine"])
        _put(result, ("backend", "dtype"), Node("int8" if value.value is True else "fp16", value.span), span)
    return result


def _find(node: Node, path: tuple[str, ...]) -> tuple[Node, Span] | None:
    key = node.span
    for word in path:
        if not isinstance(node.value, dict) or word not in node.value:
            return None
        key, node = node.keys[word], node.value[word]
    return node, key


def _put(node: Node, path: tuple[str, ...], value: Node, key: Span) -> None:
    for word in path[:-1]:
        node.keys.setdefault(word, key)
        node = node.value.setdefault(word, Node({}, value.span, {}))
    node.value[path[-1]] = value
    node.keys[path[-1]] = key
