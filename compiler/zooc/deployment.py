"""The checked description of one deployment: what analysis makes of a `.zoo` file.

These are the plain data types that the parts of the compiler exchange. Paths are absolute here (a `.zoo`
file's relative paths are relative to the file). Every node ends in the `span` it came from, `None` when a
default filled it in or a test built it by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zooc.diagnostics.diagnostic import Span
from zooc_runtime.preprocessing.sources import channels_of
from zooc_runtime.preprocessing.steps import Grayscale, Step, steps_to_json

if TYPE_CHECKING:
    from zooc_runtime.package.heads import Activation

__all__ = [
    "DEFAULT_PERCENTILE",
    "Bar",
    "CalibrationMethod",
    "Correction",
    "Deployment",
    "Effort",
    "FileWeights",
    "FloatLimits",
    "ImageSet",
    "InputShape",
    "Labels",
    "Model",
    "ModelSource",
    "Normalize",
    "OutputName",
    "Package",
    "Postprocess",
    "Preprocess",
    "PretrainedWeights",
    "Quantize",
    "RandomWeights",
    "Requirement",
    "SpeedRequirement",
    "Weights",
]

Correction = Literal["bias", "equalization", "reconstruction", "rounding"]

Effort = Literal["fast", "normal", "high"]

DEFAULT_PERCENTILE = 99.99


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where the network comes from: `timm.NAME`, `torchvision.NAME`, `official.NAME`, or a file.

    `name` is the model's name, or for `kind` `onnx` and `torch` the absolute path of the file.
    """

    kind: Literal["timm", "torchvision", "official", "onnx", "torch"]
    name: str
    span: Span | None = field(default=None, compare=False)

    @property
    def is_file(self) -> bool:
        """Whether a file is the whole network, weights included."""
        return self.kind in ("onnx", "torch")

    @property
    def shown(self) -> str:
        """How messages name it: `timm.resnet50`, `onnx("net.onnx")`; never a folder."""
        return f'{self.kind}("{Path(self.name).name}")' if self.is_file else f"{self.kind}.{self.name}"


@dataclass(frozen=True, slots=True)
class FileWeights:
    """Weights read from a checkpoint file."""

    path: Path
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class PretrainedWeights:
    """The source library's own published weights."""

    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class RandomWeights:
    """Reproducible random weights, for benchmarks and tests."""

    seed: int = 0
    span: Span | None = field(default=None, compare=False)


Weights = FileWeights | PretrainedWeights | RandomWeights


@dataclass(frozen=True, slots=True)
class InputShape:
    """The network's own input, NCHW; `batch is None` means any batch size."""

    batch: int | None
    channels: int
    height: int
    width: int
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class OutputName:
    """An output of a file's network."""

    text: str
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Model:
    """The `model` block. `weights` is `None` exactly when the source is a file, which has its own.

    For a file `input` may be `None`: the file's own shape holds. `layout` says where the file's image
    has its channels, `None`: found by itself; `outputs` which of its outputs give scores, a head each, empty:
    found by itself.
    """

    source: ModelSource
    weights: Weights | None
    input: InputShape | None
    classes: int | None
    classes_span: Span | None = field(default=None, compare=False)
    span: Span | None = field(default=None, compare=False)
    layout: Literal["nchw", "nhwc"] | None = None
    outputs: tuple[OutputName, ...] = ()


@dataclass(frozen=True, slots=True)
class Normalize:
    """`(pixel / divisor - mean) / std` a channel, in the channel order that the steps leave.

    `ToTensor()` alone is `divisor=255, mean=0, std=1`.
    """

    divisor: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Preprocess:
    """The `preprocess` block: pixel steps in order, then one normalization.

    `source` is what the compiled graph is given: decoded RGB, YUV 4:2:0 frames (NV12) as cameras deliver, or
    images of so many channels as `bands-4` says.
    """

    steps: tuple[Step, ...]
    normalize: Normalize
    source: str = "rgb"
    span: Span | None = field(default=None, compare=False)

    @property
    def channels(self) -> int:
        """How many channels the steps leave."""
        greys = [step.channels for step in self.steps if isinstance(step, Grayscale)]
        return greys[-1] if greys else channels_of(self.source)

    def to_json(self) -> dict[str, Any]:
        """Return the form in `manifest.json`.

        Returns:
            `{"source": "rgb", "steps": [{"op": "Resize", "size": 256, ...}, ...], "normalize":
            {"divisor", "mean", "std"}}`. A step's keys are its fields' names; pairs and triples are lists.
        """
        return {
            "source": self.source,
            "steps": steps_to_json(self.steps),
            "normalize": {
                "divisor": self.normalize.divisor,
                "mean": list(self.normalize.mean),
                "std": list(self.normalize.std),
            },
        }


@dataclass(frozen=True, slots=True)
class CalibrationMethod:
    """How the ranges of tensors are chosen.

    Attributes:
        name: `auto` searches for what serves the network's output best; the others follow from each tensor's
            histogram alone.
        percentile: in per cent, only for that method.
        effort: of the search, only for `auto`.
    """

    name: Literal["max", "percentile", "kl_divergence", "mse", "auto"]
    percentile: float | None = None
    span: Span | None = field(default=None, compare=False)
    effort: Effort = "normal"

    def __str__(self) -> str:
        """As written in the language."""
        if self.name == "auto" and self.effort != "normal":
            return f"auto(effort={self.effort})"
        return self.name if self.percentile is None else f"{self.name}({self.percentile:g})"


@dataclass(frozen=True, slots=True)
class ImageSet:
    """`images("folder", suffix="JPEG", count=50, seed=0)`: a reproducible draw from a folder, recursive.

    `suffix` is compared without regard to case and without its dot; `None` takes every image suffix known.
    `count` `None` takes all. The draw is uniform without replacement over the sorted relative paths.

    `folder` is text where it is any other source of images, as `zooc_runtime.data.opening` takes it: a
    pattern, archives, `list:FILE`, an address; paths in it are absolute.
    """

    folder: Path | str
    suffix: str | None = None
    count: int | None = None
    seed: int = 0
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`require drop <= 0.5% on images(...)`: the accuracy contract.

    Attributes:
        drop: the largest loss allowed, a share from 0 to 1.
        images: what it is measured on.
        labels: the true classes: from the images' class folders, from a file `name id`, or `none`, and then
            the loss is the share of images whose top-1 is not float's. `auto`: the class folders if they fit
            the network, else none.
    """

    drop: float
    images: ImageSet
    labels: Literal["auto", "folders", "none"] | Path = "auto"
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class SpeedRequirement:
    """`require latency <= 8 ms on this_machine(...)`, or `require throughput >= 120/s`.

    Attributes:
        quantity: time of a request of one image, or images a second of all streams together.
        limit: milliseconds, the most allowed; or images a second, the least.
        engine: the only one that counts; `None` for any of the package's.
        threads: within a stream; `None` for as many as there are cores to it.
        streams: requests at the same time; `None` for the best of a few numbers, or one for a latency.
    """

    quantity: Literal["latency", "throughput"]
    limit: float
    engine: str | None = None
    threads: int | None = None
    streams: int | None = None
    span: Span | None = field(default=None, compare=False)

    @property
    def sense(self) -> int:
        """1 where more is better, -1 where less is."""
        return -1 if self.quantity == "latency" else 1

    def allows(self, value: float) -> bool:
        """Tell whether a measured value holds it."""
        return self.sense * value >= self.sense * self.limit

    def with_unit(self, value: float) -> str:
        """Return a value of this quantity in words."""
        digits = f"{value:.0f}" if value >= 1000.0 else f"{value:.4g}"
        return digits + (" ms" if self.quantity == "latency" else "/s")

    def __str__(self) -> str:
        """As written in the language, without where."""
        sign = "<=" if self.quantity == "latency" else ">="
        return f"{self.quantity} {sign} {self.with_unit(self.limit)}"


@dataclass(frozen=True, slots=True)
class FloatLimits:
    """`keep fp32 auto(time=30%, sqnr=25)`: how far layers go back to float.

    Attributes:
        time: the most that may be added to the estimated time of int8, a share of it.
        sqnr_db: what the logits shall have beside holding the contract, `None` for nothing.
    """

    time: float = 0.5
    sqnr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """`warn below(agreement=97%, sqnr=20)`: below either, int8 is reported as poor.

    Attributes:
        agreement: share of calibration images on which int8 and float say the same.
        sqnr_db: of the logits.
    """

    agreement: float = 0.97
    sqnr_db: float = 20.0


@dataclass(frozen=True, slots=True)
class Quantize:
    """The `quantize` block; for `fp32` and `fp16` only `dtype` and `keep` matter.

    `keep_auto` is `keep fp32 auto`: layers stay in float as a contract needs it (`require`, or the default).

    Attributes:
        clip: whether a weight channel's scale covers its largest weight or has the least squared error.
        activations: `symmetric` ranges reach equally far to both sides of zero, where there are two sides.
        corrections: what is done about the error of int8 beside choosing ranges.
        target: the CPUs for which integer convolutions must be proven not to saturate, or the accelerator
            whose form of int8 is written.
        ranges: measured on images, or those of a source that is quantized already, with its scales.
        warn: below what int8 is called poor; `None` where `warn none` says so.
        limits: of the layers that a contract returns to float.
        placed: names of nodes that a measured placement leaves in float (`--placement`).
        speed: what is required of the time on this machine, of any data type.
    """

    dtype: Literal["int8", "fp16", "fp32"] = "fp32"
    calibrate: CalibrationMethod = CalibrationMethod("auto")
    data: ImageSet | None = None
    weights: Literal["per_channel", "per_tensor"] = "per_channel"
    keep: tuple[str, ...] = ()
    keep_spans: tuple[Span | None, ...] = field(default=(), compare=False)
    require: Requirement | None = None
    keep_auto: bool = False
    clip: Literal["max", "mse"] = "max"
    activations: Literal["asymmetric", "symmetric"] = "asymmetric"
    corrections: tuple[Correction, ...] = ("equalization", "bias")
    target: Literal["vnni", "avx2", "any", "tensorrt", "qnn", "openvino_npu"] = "vnni"
    ranges: Literal["measured", "source"] = "measured"
    ranges_span: Span | None = field(default=None, compare=False)
    warn: Bar | None = Bar()
    limits: FloatLimits = FloatLimits()
    span: Span | None = field(default=None, compare=False)
    placed: tuple[str, ...] = ()
    speed: tuple[SpeedRequirement, ...] = ()

    @property
    def saturates(self) -> bool:
        """Whether the target's CPUs add products in 16 bits, which the weights must not exceed."""
        return self.target in ("avx2", "any")


@dataclass(frozen=True, slots=True)
class Labels:
    """Class names in the order of class ids, and where they came from (`imagenet1k` or a path)."""

    origin: str
    names: tuple[str, ...]
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Postprocess:
    """What becomes of a head's scores: the `postprocess` block, or one head of the `heads` block.

    `topk_span` is `None` where the default holds; a small network lowers it.

    Attributes:
        name: the head's; empty for that of a `postprocess` block.
        activation: `none` where the description names none: the network's own then holds.
        threshold: the least probability of a class that an image has; `None` without a sigmoid.
    """

    activation: Activation = "none"
    topk: int = 5
    labels: Labels | None = None
    threshold: float | None = None
    name: str = ""
    topk_span: Span | None = field(default=None, compare=False)
    activation_span: Span | None = field(default=None, compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Package:
    """The `package` block. `name` is a Python identifier, `version` a PEP 440 version."""

    name: str
    version: str = "0.1.0"
    engines: tuple[str, ...] = ("onnxruntime",)
    name_span: Span | None = field(default=None, compare=False)
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Deployment:
    """One checked deployment.

    `preprocess is None` compiles the tensor form: normalized `float32` in, images refused. There is one of
    `heads` for each of `model.outputs`, or for the only output.
    `source_text` is the `.zoo` file's text; `variant` and `overrides` what the command line chose.
    """

    model: Model
    preprocess: Preprocess | None
    quantize: Quantize
    heads: tuple[Postprocess, ...]
    package: Package
    path: Path
    source_text: str
    variant: str | None = None
    overrides: tuple[str, ...] = ()
