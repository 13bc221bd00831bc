"""What both of torch's exporters make of the same modules becomes the same few operators."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from zooc.networks.onnx_file.operators import use_default_operators
from zooc.passes.legalize.legalize import legalize
from zooc.passes.simplify.simplify import simplify

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

nn, functional = torch.nn, torch.nn.functional
LOWEST = -float("inf")
POOLED = "GlobalAveragePool Flatten"


class Call(nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self, function: Callable[[Any], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


class Net(nn.Module):  # type: ignore[misc, name-defined]
    """A convolution, the pattern, and a classifier, behind one more convolution where a map is left."""

    def __init__(self, pattern: Any) -> None:
        super().__init__()
        self.first, self.pattern = nn.Conv2d(3, 8, 3, padding=1), pattern
        self.last, self.fc = nn.Conv2d(8, 8, 3), nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        y = self.pattern(self.first(x))
        return self.fc(y if y.ndim == 2 else self.last(y).mean((2, 3)))


def prelu() -> Any:
    module = nn.PReLU(8)
    with torch.no_grad():
        module.weight.copy_(torch.linspace(0.1, 0.4, 8))
    return module


def padded(*sides: int, value: float = 0.0) -> Callable[[Any], Any]:
    return lambda x: functional.pad(x, sides, value=value)


FORMS: dict[str, tuple[Callable[[], Any], str]] = {
    "SiLU": (nn.SiLU, "Sigmoid Mul"),
    "Mish": (nn.Mish, "Mish"),
    "PReLU": (prelu, "Conv Relu Add"),
    "PReLU of one slope": (nn.PReLU, "LeakyRelu"),
    "ReLU6": (nn.ReLU6, "Clip"),
    "Hardtanh": (lambda: nn.Hardtanh(0, 6), "Clip"),
    "clamp": (lambda: Call(lambda x: x.clamp(min=0)), "Relu"),
    "mean": (lambda: Call(lambda x: x.mean((2, 3))), POOLED),
    "mean of negative axes": (lambda: Call(lambda x: x.mean((-1, -2))), POOLED),
    "mean of rows": (lambda: Call(lambda x: x.flatten(2).mean(-1)), POOLED),
    "mean of a view": (lambda: Call(lambda x: x.view(x.size(0), x.size(1), -1).mean(2)), POOLED),
    "adaptive average": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), POOLED),
    "squeezed twice": (
        lambda: Call(lambda x: functional.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)),
        POOLED,
    ),
    "maximum": (lambda: Call(lambda x: x.amax((2, 3))), "MaxPool Flatten"),
    "adaptive maximum": (lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), "MaxPool Flatten"),
    "padded convolution": (lambda: nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2)), "Conv"),
    "padded maximum": (
        lambda: nn.Sequential(Call(padded(0, 1, 0, 1, value=LOWEST)), nn.MaxPool2d(3, 2)),
        "MaxPool",
    ),
    "padded maximum behind ReLU": (
        lambda: nn.Sequential(nn.ReLU(), Call(padded(0, 1, 0, 1)), nn.MaxPool2d(3, 2)),
        "Relu MaxPool",
    ),
    "padded average": (lambda: nn.Sequential(Call(padded(1, 1, 1, 1)), nn.AvgPool2d(3, 2)), "Conv"),
    "dropout": (lambda: nn.Sequential(nn.Dropout(0.2), nn.Identity()), ""),
    "double and back": (lambda: Call(lambda x: x.double().float()), ""),
    "unsqueezed and squeezed": (lambda: Call(lambda x: x.unsqueeze(2).squeeze(2)), ""),
    "BatchNorm": (lambda: nn.BatchNorm2d(8), ""),
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    sink = io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def exported(module: Any, images: Any, dynamo: bool) -> onnx.ModelProto:
    names: dict[str, Any] = {"input_names": ["image"], "output_names": ["scores"], "verbose": False}
    with quiet(), torch.no_grad():
        if dynamo:
            shapes = ({0: torch.export.Dim("batch")},)
            program = torch.onnx.export(
                module, (images,), dynamo=True, opset_version=20, dynamic_shapes=shapes, **names
            )
            found: onnx.ModelProto = program.model_proto
            return found
        content = io.BytesIO()
        axes = {"image": {0: "batch"}}
        torch.onnx.export(
            module, (images,), content, dynamo=False, opset_version=13, dynamic_axes=axes, **names
        )
    return onnx.load_from_string(content.getvalue())


@pytest.mark.parametrize("dynamo", [False, True], ids=["legacy", "dynamo"])
@pytest.mark.parametrize("name", list(FORMS))
def test_both_exporters_end_in_the_same_operators(name: str, dynamo: bool) -> None:
    build, between = FORMS[name]
    torch.manual_seed(0)
    module = Net(build()).eval()
    images = torch.randn(3, 3, 12, 12)
    with torch.no_grad():
        expected = module(images).numpy()
    model = use_default_operators(exported(module, images, dynamo), "net.onnx", None)
    done = legalize(simplify(model))
    around = "Conv Gemm" if "Flatten" in between else f"Conv Conv {POOLED} Gemm"
    assert Counter(node.op_type for node in done.graph.node) == Counter(f"{around} {between}".split())
    session = onnxruntime.InferenceSession(done.SerializeToString(), providers=["CPUExecutionProvider"])
    got = session.run(None, {"image": images.numpy()})[0]
    np.testing.assert_allclose(got, expected, atol=1e-5)
