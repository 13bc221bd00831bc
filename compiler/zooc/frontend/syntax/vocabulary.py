"""The words of the language: blocks, statements, functions with their parameters, words that are values."""

from __future__ import annotations

from dataclasses import dataclass

from zooc_runtime.preprocessing.vdsp.keys import KEYS

__all__ = [
    "ACCELERATORS",
    "ACTIVATIONS",
    "BLOCKS",
    "CALIBRATION_METHODS",
    "CLIPS",
    "CORRECTIONS",
    "DECODINGS",
    "DTYPES",
    "EFFORTS",
    "ENGINES",
    "EXAMPLES",
    "FILE_SOURCES",
    "FUNCTIONS",
    "GRANULARITIES",
    "HEAD",
    "INTERPOLATIONS",
    "LAYOUTS",
    "LIBRARIES",
    "MATRICES",
    "PAD_MODES",
    "RANGES",
    "REQUIRED_LABELS",
    "RESERVED",
    "SOURCES",
    "SPEEDS",
    "STEPS",
    "TARGETS",
    "Parameter",
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function; `alias` is torchvision's other name for it."""

    name: str
    required: bool = False
    alias: str | None = None


BLOCKS: dict[str, dict[str, int]] = {
    "model": {"source": 1, "weights": 1, "input": 1, "classes": 1, "layout": 1, "output": 1},
    "preprocess": {},
    "quantize": {
        "calibrate": 1,
        "calibrate_mode": 1,
        "calibrate_range": 1,
        "data": 1,
        "ranges": 1,
        "weights": 1,
        "activations": 1,
        "corrections": 1,
        "target": 1,
        "keep": 2,
        "require": 3,
        "warn": 1,
    },
    "postprocess": {"softmax": 0, "sigmoid": 0, "threshold": 1, "l2_normalize": 0, "topk": 1, "labels": 1},
    "heads": {},
    "package": {"name": 1, "version": 1, "engines": 1},
    "variant": {},
}
"""Each block's statements with the number of values that each takes."""

HEAD: dict[str, int] = {"output": 1, **BLOCKS["postprocess"]}
"""The statements of one head in a `heads` block."""

EXAMPLES: dict[tuple[str, str], str] = {
    ("model", "source"): "source timm.resnest50d",
    ("model", "weights"): 'weights "resnest50.pth"',
    ("model", "input"): "input [batch, 3, 224, 224]",
    ("model", "classes"): "classes 1000",
    ("model", "layout"): "layout nhwc",
    ("model", "output"): 'output "logits"',
    ("quantize", "calibrate"): "calibrate auto",
    ("quantize", "data"): 'data images("folder", count=50)',
    ("quantize", "ranges"): "ranges source",
    ("quantize", "calibrate_mode"): "calibrate_mode percentile",
    ("quantize", "calibrate_range"): "calibrate_range 0.99999",
    ("quantize", "weights"): "weights per_channel",
    ("quantize", "activations"): "activations asymmetric",
    ("quantize", "corrections"): "corrections [bias, equalization]",
    ("quantize", "target"): "target cpu(any)",
    ("quantize", "keep"): 'keep fp32 ["fc"]',
    ("quantize", "warn"): "warn below(agreement=97%, sqnr=20)",
    ("quantize", "require"): 'require drop <= 0.5% on images("val", count=1000)',
    ("postprocess", "softmax"): "softmax",
    ("postprocess", "sigmoid"): "sigmoid",
    ("postprocess", "threshold"): "threshold 0.5",
    ("postprocess", "l2_normalize"): "l2_normalize",
    ("postprocess", "topk"): "topk 5",
    ("postprocess", "labels"): "labels imagenet1k",
    ("package", "name"): "name resnest50",
    ("package", "version"): 'version "1.0.0"',
    ("package", "engines"): "engines [onnxruntime, openvino]",
}
"""How each statement is written, for hints."""

STEPS: dict[str, tuple[Parameter, ...]] = {
    "Decode": (Parameter("how"),),
    "NV12": (Parameter("matrix", True),),
    "Resize": (
        Parameter("size", True),
        Parameter("interpolation"),
        Parameter("max_size"),
        Parameter("library"),
        Parameter("antialias"),
    ),
    "CenterCrop": (Parameter("size", True),),
    "Crop": tuple(Parameter(name, True) for name in ("top", "left", "height", "width")),
    "Letterbox": (
        Parameter("size", True),
        Parameter("interpolation"),
        Parameter("library"),
        Parameter("fill"),
    ),
    "ECenterCrop": (Parameter("size", True),),
    "Pad": (Parameter("padding", True), Parameter("fill"), Parameter("mode", alias="padding_mode")),
    "Grayscale": (Parameter("channels", alias="num_output_channels"),),
    "BGR": (),
    "RGB": (),
    "ToTensor": (),
    "PILToTensor": (),
    "Normalize": (Parameter("mean", True), Parameter("std", True)),
    "vdsp": (Parameter("path"), Parameter("OpType"), *(Parameter(key) for key in KEYS)),
}
"""The steps of a `preprocess` block."""

FUNCTIONS: dict[str, tuple[Parameter, ...]] = {
    **STEPS,
    "onnx": (Parameter("path", True),),
    "torch": (Parameter("path", True),),
    "random": (Parameter("seed"),),
    "images": tuple(map(Parameter, ("folder", "suffix", "count", "seed", "list"))),
    "auto": (Parameter("effort"),),
    "below": (Parameter("agreement"), Parameter("sqnr")),
    "percentile": (Parameter("percentile", True),),
    "per_channel": (Parameter("clip"),),
    "per_tensor": (Parameter("clip"),),
    "cpu": (Parameter("kind", True),),
    "imagenet1k": (Parameter("background"),),
    "this_machine": (Parameter("engine"), Parameter("threads"), Parameter("streams")),
}
"""Every function of the language."""

SOURCES = ("timm", "torchvision", "official")
FILE_SOURCES = {"onnx": "the ONNX file", "torch": "the torch program"}
DTYPES = ("int8", "fp16", "fp32")
CALIBRATION_METHODS = ("percentile", "kl_divergence", "mse", "max", "auto")
EFFORTS = ("fast", "normal", "high")
RANGES = ("source",)
GRANULARITIES = ("per_channel", "per_tensor")
CLIPS = ("max", "mse")
ACTIVATIONS = ("asymmetric", "symmetric")
CORRECTIONS = ("equalization", "rounding", "bias", "reconstruction")
TARGETS = ("vnni", "avx2", "any")
ACCELERATORS = ("tensorrt", "qnn", "openvino_npu")
INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
LAYOUTS = ("nchw", "nhwc")
LIBRARIES = ("pillow", "opencv", "torch")
DECODINGS = ("exact", "scaled")
MATRICES = ("bt601", "bt709")
PAD_MODES = ("constant", "edge", "reflect", "symmetric")
REQUIRED_LABELS = ("folders", "none")
SPEEDS = {"latency": "require latency <= 8 ms", "throughput": "require throughput >= 120/s"}
"""The quantities of `require` that are times, each as it is written."""

ENGINES = ("onnxruntime", "openvino")

RESERVED = frozenset(
    {
        *SOURCES,
        *DTYPES,
        *CALIBRATION_METHODS,
        *EFFORTS,
        *GRANULARITIES,
        *RANGES,
        *ACTIVATIONS,
        *CORRECTIONS,
        *TARGETS,
        *ACCELERATORS,
        *INTERPOLATIONS,
        *LAYOUTS,
        *LIBRARIES,
        *DECODINGS,
        *MATRICES,
        *PAD_MODES,
        *ENGINES,
        *REQUIRED_LABELS,
        *FUNCTIONS,
        *BLOCKS,
        "auto",
        "batch",
        "drop",
        "on",
        "let",
        "none",
        "pretrained",
        "true",
        "false",
    }
)
"""Words that a `let` may not take, because they mean something where values stand."""
