"""Which words may stand where: the compiler's own lists, by statement and by parameter."""

from __future__ import annotations

from zooc.frontend.syntax import vocabulary as words
from zooc.frontend.syntax.vocabulary import FUNCTIONS, Parameter

__all__ = ["ARGUMENTS", "FILES", "VALUES", "parameters"]

_SWITCH = ("true", "false")

VALUES: dict[tuple[str, str, int], tuple[str, ...]] = {
    ("model", "source", 0): (*(f"{kind}." for kind in words.SOURCES), *(f"{k}(" for k in words.FILE_SOURCES)),
    ("model", "weights", 0): ("pretrained", "random("),
    ("model", "input", 0): ("batch",),
    ("model", "layout", 0): words.LAYOUTS,
    ("quantize", "calibrate", 0): (*words.CALIBRATION_METHODS, "auto(", "percentile("),
    ("quantize", "calibrate_mode", 0): words.CALIBRATION_METHODS,
    ("quantize", "data", 0): ("images(",),
    ("quantize", "ranges", 0): words.RANGES,
    ("quantize", "weights", 0): (*words.GRANULARITIES, *(f"{kind}(" for kind in words.GRANULARITIES)),
    ("quantize", "activations", 0): words.ACTIVATIONS,
    ("quantize", "corrections", 0): words.CORRECTIONS,
    ("quantize", "target", 0): ("cpu(", *words.ACCELERATORS),
    ("quantize", "keep", 0): ("fp32",),
    ("quantize", "keep", 1): ("auto", "auto("),
    ("quantize", "warn", 0): ("below(", "none"),
    ("quantize", "require", 0): ("drop", *words.SPEEDS),
    ("quantize", "drop", 2): ("on",),
    ("quantize", "drop", 3): ("images(",),
    ("quantize", "latency", 2): ("ms", "on"),
    ("quantize", "latency", 3): ("this_machine(",),
    ("quantize", "throughput", 2): ("on",),
    ("quantize", "throughput", 3): ("this_machine(",),
    ("postprocess", "labels", 0): ("imagenet1k", "imagenet1k("),
    ("head", "labels", 0): ("imagenet1k", "imagenet1k("),
    ("package", "engines", 0): words.ENGINES,
    ("quantize", "", 0): words.DTYPES,
    ("preprocess", "", 0): ("vdsp(",),
}
"""By block, statement and number of the value; a block's own value, without a statement, is its header's."""

ARGUMENTS: dict[tuple[str, str], tuple[str, ...]] = {
    **{(step, "interpolation"): words.INTERPOLATIONS for step in ("Resize", "Letterbox")},
    ("Resize", "library"): words.LIBRARIES,
    ("Letterbox", "library"): ("pillow", "opencv"),
    ("Resize", "antialias"): _SWITCH,
    ("Pad", "mode"): words.PAD_MODES,
    ("Pad", "padding_mode"): words.PAD_MODES,
    ("Decode", "how"): words.DECODINGS,
    ("NV12", "matrix"): words.MATRICES,
    ("images", "labels"): words.REQUIRED_LABELS,
    ("auto", "effort"): words.EFFORTS,
    **{(kind, "clip"): words.CLIPS for kind in words.GRANULARITIES},
    ("cpu", "kind"): words.TARGETS,
    ("imagenet1k", "background"): ("first",),
    ("this_machine", "engine"): words.ENGINES,
}
"""By function and parameter."""

FILES: dict[tuple[str, str], tuple[str, ...]] = {
    ("model", "weights"): (".pth", ".pt", ".safetensors", ".bin"),
    ("postprocess", "labels"): (".txt",),
    ("head", "labels"): (".txt",),
    ("onnx", "path"): (".onnx",),
    ("torch", "path"): (".pt2", ".pt", ".pth", ".torchscript", ".ts"),
    ("vdsp", "path"): (".json",),
    ("images", "folder"): (),
    ("images", "labels"): (".txt",),
}
"""Where a string is a path, by block and statement or function and parameter: the endings of such files."""

_IN_REQUIRE = {"images": (Parameter("labels"),)}
_IN_KEEP = {"auto": (Parameter("time"), Parameter("sqnr"))}


def parameters(function: str, statement: str) -> tuple[Parameter, ...]:
    """Return the parameters of a function as a value of `statement`; none of an unknown function."""
    if statement == "keep" and function in _IN_KEEP:
        return _IN_KEEP[function]
    more = _IN_REQUIRE.get(function, ()) if statement == "require" else ()
    return (*FUNCTIONS.get(function, ()), *more)
