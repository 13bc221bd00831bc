"""Reads a vamc build configuration (YAML)."""

from __future__ import annotations

from typing import Literal

from zooc.deployment import CalibrationMethod
from zooc.vastai.config import Calibration, Config, Input
from zooc.vastai.old_layout import modernized
from zooc.vastai.process_ops import read_process_ops
from zooc.vastai.sections import Reading, Section
from zooc.vastai.yaml_tree import Node

__all__ = ["read_vamc"]

_METHODS = ("percentile", "kl_divergence", "mse", "max")
_NO_METHOD = CalibrationMethod("percentile", 99.99)
_TOP = ("name", "frontend", "backend", "graph", "dataset", "workspace")
_QUANTIZE = (
    *("calibrate_mode", "quantize_per_channel", "calibrate_range", "overflow_adaptive", "skip_conv_layers"),
    *("quantize_operators", "requant_suppress", "calibrate_chunk_by", "stream_mode", "bias_correction"),
)
_ACCELERATOR = "a setting of the accelerator"
_SIDES = 8192


def read_vamc(root: Node, reading: Reading) -> Config | None:
    """Return the configuration; `None` after an error.

    Args:
        root: the file's mapping.
        reading: takes the findings: `Z0802` malformed, `Z0803` unknown keys, `Z0804` what has no counterpart.
    """
    root = modernized(root)
    top = Section(root, "", _TOP, reading)
    for key in top.unknown:
        hint = f"a build configuration has {', '.join(_TOP)}"
        reading.error("Z0803", f"unknown section `{key}`", top.span(key), hint=hint)
    config = Config(name=top.get("name", str) or "imported")
    name_node = top.node_of("name")
    config.name_span = name_node.span if name_node else None
    _frontend(top, config)
    _backend(top, config)
    _graph(top, config)
    _workspace(top, config)
    if reading.sound and config.input is not None:
        _dataset(top, config, config.input)
    return config if reading.sound else None


def _frontend(top: Section, config: Config) -> None:
    section = top.section("frontend", ("shape", "type", "checkpoint", "dtype"), required=True)
    if section is None:
        return
    _keep_unknown(section, config, "a setting of the accelerator's front end")
    config.framework = section.get("type", str) or "onnx"
    if config.framework.startswith(("huggingface", "llm", "vllm")):
        node = section.node_of("type")
        message = f"`frontend.type: {config.framework}` generates text; zooc compiles image classifiers"
        section.reading.error("Z0804", message, node.span if node else None)
    config.checkpoint = section.get("checkpoint", str, required=True)
    if (node := section.node_of("checkpoint")) is not None:
        config.checkpoint_span = node.span
    shapes = section.get("shape", dict, required=True)
    if shapes is not None:
        config.input = _input(section, shapes)
    dtype = section.get("dtype", str)
    if dtype is not None:
        config.unused.append(("frontend.dtype", dtype, "the network's own data type is read from it"))


def _input(section: Section, shapes: dict[str, Node]) -> Input | None:
    reading = section.reading
    node = section.node_of("shape")
    assert node is not None
    texts = [
        name for name in shapes if name in ("input_ids", "token_type_ids", "attention_mask", "position_ids")
    ]
    if texts:
        message = f"the input `{texts[0]}` is text; zooc compiles image classifiers"
        reading.error("Z0804", message, node.keys[texts[0]])
        return None
    if len(shapes) != 1:
        message = f"the network has {len(shapes)} inputs; a classifier has one, the image"
        reading.error("Z0804", message, section.span("shape"))
        return None
    name, shape = next(iter(shapes.items()))
    sides = [s.value for s in shape.value] if isinstance(shape.value, list) else []
    if any(isinstance(s, bool) or not isinstance(s, int) for s in sides) or not sides:
        message = f"the shape of `{name}` must be a list of whole numbers, found {shape.shown}"
        reading.error("Z0802", message, shape.span, hint="write for example [1, 3, 224, 224]")
        return None
    if len(sides) != 4:
        message = (
            f"the input `{name}` has {len(sides)} dimensions; an image has batch, channels, height, width"
        )
        reading.error("Z0804", message, shape.span)
        return None
    if not all(1 <= side <= _SIDES for side in sides):
        reading.error("Z0802", f"the sides of `{name}` must be from 1 to {_SIDES}", shape.span)
        return None
    return Input(name, sides[0], sides[1], sides[2], sides[3], shape.span)


def _backend(top: Section, config: Config) -> None:
    section = top.section("backend", ("type", "dtype", "compile", "quantize"), required=True)
    if section is None:
        return
    _keep_unknown(section, config, _ACCELERATOR)
    kind = section.get("type", str, required=True)
    if kind == "tvm_runmodel":
        config.form = "tensor"
    elif kind is not None and kind not in ("tvm_vacc", "vacc"):
        node = section.node_of("type")
        hint = "known are tvm_vacc (images in) and tvm_runmodel (tensors in)"
        message = f"`backend.type: {kind}` has no counterpart"
        section.reading.error("Z0804", message, node.span if node else None, hint=hint)
    config.dtype = _dtype(section)
    switches = section.section("compile", ())
    for key in switches.unknown if switches else ():
        assert switches is not None
        node = switches.node_of(key)
        config.unused.append((switches.name(key), node.shown if node else "null", _ACCELERATOR))
    config.calibration = _calibration(section, config)


def _dtype(section: Section) -> Literal["int8", "fp16", "fp32"]:
    dtype = section.get("dtype", str, required=True)
    if dtype in ("int8", "fp16", "fp32") or dtype is None:
        return dtype or "fp32"
    node = section.node_of("dtype")
    message = f"`backend.dtype: {dtype}` has no counterpart"
    hint = "known are int8, fp16 and fp32"
    section.reading.error("Z0804", message, node.span if node else None, hint=hint)
    return "fp32"


def _calibration(backend: Section, config: Config) -> Calibration:
    section = backend.section("quantize", _QUANTIZE)
    if section is None:
        return Calibration(None, None, None, _NO_METHOD, per_channel=True)
    _keep_unknown(section, config, "not known to zooc")
    for key in _QUANTIZE[3:]:
        if (node := section.node_of(key)) is not None:
            config.unused.append((section.name(key), node.shown, "zooc's quantizer has no such setting"))
    if (node := section.node_of("skip_conv_layers")) is not None and config.dtype == "int8":
        message = "`skip_conv_layers` gives layers by number; zooc needs their names"
        hint = 'compile once, find the layers in the report, and write `keep fp32 ["name", ...]`'
        section.reading.warn("Z0806", message, node.span, hint=hint)
    per_channel = section.get("quantize_per_channel", bool)
    return Calibration(None, None, None, _method(section), per_channel is not False)


def _method(section: Section) -> CalibrationMethod:
    mode = section.get("calibrate_mode", str)
    if mode is not None and mode not in _METHODS:
        node = section.node_of("calibrate_mode")
        hint = f"known are {', '.join(_METHODS)}"
        message = f"`{section.name('calibrate_mode')}: {mode}` has no counterpart"
        section.reading.error("Z0804", message, node.span if node else None, hint=hint)
        return _NO_METHOD
    if mode in (None, "percentile"):
        share = section.get("calibrate_range", float) if section.node_of("calibrate_range") else None
        if share is not None and not 0 < share <= 1:
            node = section.node_of("calibrate_range")
            message = f"`{section.name('calibrate_range')}` must be above 0 and at most 1, found {share:g}"
            section.reading.error(
                "Z0802", message, node.span if node else None, hint="a usual value is 0.9999"
            )
            return _NO_METHOD
        return CalibrationMethod("percentile", round(100 * share, 10)) if share else _NO_METHOD
    return CalibrationMethod(mode)


def _graph(top: Section, config: Config) -> None:
    section = top.section("graph", ("extra_ops",))
    if section is None:
        return
    _keep_unknown(section, config, _ACCELERATOR)
    node = section.node_of("extra_ops")
    if node is None:
        return
    operations = node.value if isinstance(node.value, list) else [node]
    for operation in operations:
        _extra_operation(operation, config, section.reading)


def _extra_operation(node: Node, config: Config, reading: Reading) -> None:
    if not isinstance(node.value, dict):
        reading.error(
            "Z0802", f"an operation of `graph.extra_ops` has a `type`, found {node.shown}", node.span
        )
        return
    section = Section(node, "graph.extra_ops", ("type", "params", "extra_ops"), reading)
    kind = section.get("type", str)
    params = section.get("params", dict) or {}
    detection = [key for key in params if "nms" in key or key in ("confidence_threshold", "strides")]
    if kind is not None and kind.lower() == "softmax":
        config.softmax = True
    elif kind not in (None, "None", "null"):
        found = section.node_of("type")
        what = (
            "boxes, but zooc compiles classifiers"
            if "nms" in str(kind)
            else "a result that has no counterpart"
        )
        message = f"`graph.extra_ops.type: {kind}` makes {what}"
        reading.error("Z0804", message, found.span if found else node.span)
    elif detection:
        holder = section.node_of("params")
        place = holder.keys[detection[0]] if holder else node.span
        message = f"`{detection[0]}` belongs to a detection head; zooc compiles classifiers"
        reading.error("Z0804", message, place)


def _workspace(top: Section, config: Config) -> None:
    section = top.section("workspace", ())
    for key in section.unknown if section else ():
        assert section is not None
        node = section.node_of(key)
        why = "use `zooc compile -o DIR`" if key in ("path", "work_dir") else _ACCELERATOR
        config.unused.append((section.name(key), node.shown if node else "null", why))


def _dataset(top: Section, config: Config, target: Input) -> None:
    section = top.section("dataset", ("type", "path", "sampler", "process_ops"))
    if section is None:
        if config.dtype == "int8":
            hint = "add `dataset: path: FOLDER`"
            top.reading.error(
                "Z0802", "int8 needs a `dataset` to calibrate on", top.span("backend"), hint=hint
            )
        return
    _keep_unknown(section, config, "not known to zooc")
    sampler = section.section("sampler", ("suffix", "get_data_num"))
    suffix = sampler.get("suffix", str) if sampler else None
    count = sampler.get("get_data_num", int) if sampler else None
    if suffix is not None and suffix.lower().lstrip(".") in ("npz", "npy"):
        assert sampler is not None
        node = sampler.node_of("suffix")
        message = f"calibration on {suffix} tensors has no counterpart; zooc calibrates on images"
        section.reading.error("Z0804", message, node.span if node else None)
    if count is not None and count < 1:
        assert sampler is not None
        node = sampler.node_of("get_data_num")
        section.reading.error("Z0802", "`get_data_num` must be at least 1", node.span if node else None)
    known = config.calibration
    assert known is not None
    config.calibration = Calibration(
        section.get("path", str, required=config.dtype == "int8"),
        suffix,
        count,
        known.method,
        known.per_channel,
    )
    operations = section.get("process_ops", list)
    if operations is None:
        return
    node = section.node_of("process_ops")
    assert node is not None
    config.preprocess_span = section.span("process_ops")
    config.preprocess = read_process_ops(node, target, section.reading)


def _keep_unknown(section: Section, config: Config, why: str) -> None:
    for key in section.unknown:
        node = section.node_of(key)
        config.unused.append((section.name(key), node.shown if node else "null", why))
