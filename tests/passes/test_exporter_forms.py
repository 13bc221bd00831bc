"""What exporters spell out becomes the plain form: it computes the same, and is as exact in int8.

`FORMS` is a table: by pattern, the plain operators that have to be left, and the text of each exporter.
A text computes `y` from `x`, the feature map `[n, 8, 12, 12]` behind a convolution or, where it is
`positive`, behind a ReLU.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from onnx import numpy_helper

from zooc.calibration.ranges import choose_ranges
from zooc.calibration.run import calibrate
from zooc.deployment import CalibrationMethod, Quantize
from zooc.ir.rewriter import Refusals
from zooc.networks.onnx_file.operators import use_default_operators
from zooc.passes.legalize.legalize import legalize
from zooc.passes.simplify.simplify import simplify
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.qdq import quantize_body
from zooc.verification.agreement import sqnr_db
from zooc.verification.engine_view import inspect_optimized

CHANNELS, SIDE, CLASSES = 8, 12, 5
RANDOM = np.random.default_rng(0)


def weights(*shape: int, spread: float = 0.3) -> np.ndarray:
    return RANDOM.normal(0, spread, shape).astype(np.float32)


STORED = {
    "w0": weights(CHANNELS, 3, 3, 3),
    "b0": weights(CHANNELS),
    "w1": weights(CHANNELS, CHANNELS, 3, 3),
    "b1": weights(CHANNELS),
    "fc.w": weights(CHANNELS, CLASSES),
    "fc.b": weights(CLASSES),
    "slope": RANDOM.uniform(0.1, 0.4, (CHANNELS, 1, 1)).astype(np.float32),
    "gamma": RANDOM.uniform(0.5, 1.5, (1, CHANNELS, 1, 1)).astype(np.float32),
    "beta": weights(1, CHANNELS, 1, 1),
}
STORED["minus_slope"] = -STORED["slope"]
STORED["middle"] = weights(1, CHANNELS, 1, 1)
STORED["deviation"] = 1 / STORED["gamma"]
STORED["shifted"] = STORED["beta"] + STORED["gamma"] * STORED["middle"]
INT8 = Quantize(dtype="int8", calibrate=CalibrationMethod("max"))

FIRST = "x = Conv <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (image, w0, b0)"
POSITIVE = FIRST.replace("x =", "x0 =") + "\nx = Relu (x0)"
HEADS = {
    "map": """z = Conv <kernel_shape = [3, 3]> (y, w1, b1)
              pooled = GlobalAveragePool (z)
              row = Flatten (pooled)
              scores = Gemm (row, fc.w, fc.b)""",
    "pooled": "row = Flatten (y)\nscores = Gemm (row, fc.w, fc.b)",
    "row": "scores = Gemm (y, fc.w, fc.b)",
}


@dataclass(frozen=True)
class Form:
    """One pattern.

    Attributes:
        left: the operators between the convolution that makes x and what follows y, when simplified.
        texts: by exporter.
        head: what follows y: a convolution (`map`), a Flatten (`pooled`) or a Gemm (`row`).
        positive: whether x comes out of a ReLU.
        int8: the operators left behind legalizing, where they are others.
        opsets: of the texts that are not of opset 17.
        floats: what no engine has in integers.
    """

    left: str
    texts: dict[str, str]
    head: str = "map"
    positive: bool = False
    int8: str | None = None
    opsets: dict[str, int] = field(default_factory=dict)
    floats: frozenset[str] = frozenset()


FORMS = {
    "SiLU": Form(
        "Sigmoid Mul",
        {
            "torch": "s = Sigmoid (x)\ny = Mul (x, s)",
            "tf2onnx": "s = Sigmoid (x)\ny = Mul (s, x)",
            "paddle": """one = Constant <value = float[1] {1.0}> ()
                         scaled = Mul (x, one)
                         s = Sigmoid (scaled)
                         y = Mul (x, s)""",
        },
    ),
    "Mish": Form(
        "Mish",
        {
            "torch": "s = Softplus (x)\nt = Tanh (s)\ny = Mul (x, t)",
            "tf2onnx": "s = Softplus (x)\nt = Tanh (s)\ny = Mul (t, x)",
            "newer": "y = Mish (x)",
        },
        opsets={"newer": 18},
        floats=frozenset({"Mish", "Mul", "Softplus", "Tanh"}),
    ),
    "PReLU": Form(
        "PRelu",
        {
            "torch": "y = PRelu (x, slope)",
            "tf2onnx": """p = Relu (x)
                          minus = Neg (x)
                          q = Relu (minus)
                          r = Mul (minus_slope, q)
                          y = Add (p, r)""",
            "keras": """p = Relu (x)
                        minus = Neg (x)
                        q = Relu (minus)
                        r = Mul (q, slope)
                        y = Sub (p, r)""",
            "paddle": """flat = Constant <value_ints = [8, 1, 1]> ()
                         stored = Reshape (slope, flat)
                         y = PRelu (x, stored)""",
            "magnitudes": """two = Constant <value = float {0.5}> ()
                         m = Abs (x)
                         d = Sub (x, m)
                         e = Mul (d, slope)
                         f = Mul (e, two)
                         p = Relu (x)
                         y = Add (p, f)""",
        },
        int8="Conv Relu Add",
    ),
    "LeakyReLU": Form(
        "LeakyRelu",
        {
            "torch": "y = LeakyRelu <alpha = 0.1> (x)",
            "one slope": "a = Constant <value = float[1, 1, 1] {0.1}> ()\ny = PRelu (x, a)",
            "tf2onnx": "a = Constant <value = float {0.1}> ()\nb = Mul (a, x)\ny = Max (x, b)",
        },
    ),
    "ReLU6": Form(
        "Clip",
        {
            "torch": "low = Constant <value_float = 0.0> ()\nhigh = Constant <value_float = 6.0> ()\n"
            "y = Clip (x, low, high)",
            "opset 6": "y = Clip <min = 0.0, max = 6.0> (x)",
            "tf2onnx": "p = Relu (x)\nhigh = Constant <value = float {6.0}> ()\ny = Min (p, high)",
            "tf2onnx, other order": "p = Relu (x)\nhigh = Constant <value = float[1] {6.0}> ()\n"
            "y = Min (high, p)",
            "paddle": "p = Relu (x)\nlow = Constant <value = float {0.0}> ()\n"
            "high = Constant <value = float {6.0}> ()\ny = Clip (p, low, high)",
            "Min and Max": "low = Constant <value = float {0.0}> ()\n"
            "high = Constant <value = float {6.0}> ()\np = Min (x, high)\ny = Max (p, low)",
            "two Clips": "low = Constant <value = float {0.0}> ()\nhigh = Constant <value = float {6.0}> ()\n"
            "p = Clip (x, low)\nabsent = Identity (p)\ny = Clip (absent, , high)",
        },
        opsets={"opset 6": 10},
    ),
    "ReLU": Form(
        "Relu",
        {
            "torch": "y = Relu (x)",
            "tf2onnx": "low = Constant <value = float {0.0}> ()\ny = Max (x, low)",
            "paddle": "low = Constant <value = float {0.0}> ()\ny = Clip (x, low)",
            "open above": "low = Constant <value = float {0.0}> ()\n"
            "high = Constant <value = float {3.4028234663852886e38}> ()\ny = Clip (x, low, high)",
            "opset 6": "y = Clip <min = 0.0> (x)",
            "twice": "p = Relu (x)\ny = Relu (p)",
        },
        opsets={"opset 6": 10},
    ),
    "global average": Form(
        "ReduceMean",
        {
            "torch": "y = ReduceMean <axes = [2, 3], keepdims = 1> (x)",
            "torch, negative axes": "y = ReduceMean <axes = [-1, -2], keepdims = 1> (x)",
            "torch dynamo": "a = Constant <value_ints = [2, 3]> ()\ny = ReduceMean <keepdims = 1> (x, a)",
            "tf2onnx": """last = Transpose <perm = [0, 2, 3, 1]> (x)
                          mean = ReduceMean <axes = [1, 2], keepdims = 1> (last)
                          y = Transpose <perm = [0, 3, 1, 2]> (mean)""",
            "one axis at a time": "m = ReduceMean <axes = [3], keepdims = 1> (x)\n"
            "y = ReduceMean <axes = [2], keepdims = 1> (m)",
        },
        head="pooled",
        int8="GlobalAveragePool",
        opsets={"torch dynamo": 18},
    ),
    "global average without dimensions": Form(
        "ReduceMean",
        {
            "torch": "y = ReduceMean <axes = [2, 3], keepdims = 0> (x)",
            "torch, negative axes": "y = ReduceMean <axes = [-2, -1], keepdims = 0> (x)",
            "torch dynamo": "a = Constant <value_ints = [-1, -2]> ()\ny = ReduceMean <keepdims = 0> (x, a)",
            "tf2onnx": """last = Transpose <perm = [0, 2, 3, 1]> (x)
                          y = ReduceMean <axes = [1, 2], keepdims = 0> (last)""",
            "flattened": """shape = Constant <value_ints = [0, 0, -1]> ()
                            flat = Reshape (x, shape)
                            y = ReduceMean <axes = [2], keepdims = 0> (flat)""",
        },
        head="row",
        int8="GlobalAveragePool Flatten",
        opsets={"torch dynamo": 18},
    ),
    "global average by a window": Form(
        "GlobalAveragePool",
        {
            "torch": "y = AveragePool <kernel_shape = [12, 12]> (x)",
            "torch, strides": "y = AveragePool <kernel_shape = [12, 12], strides = [12, 12],"
            " pads = [0, 0, 0, 0]> (x)",
            "paddle": 'y = AveragePool <kernel_shape = [12, 12], auto_pad = "VALID"> (x)',
        },
        head="pooled",
    ),
    "global maximum": Form(
        "GlobalMaxPool",
        {
            "torch": "y = GlobalMaxPool (x)",
            "torch dynamo": "a = Constant <value_ints = [2, 3]> ()\ny = ReduceMax <keepdims = 1> (x, a)",
            "tf2onnx": """last = Transpose <perm = [0, 2, 3, 1]> (x)
                          m = ReduceMax <axes = [1, 2], keepdims = 1> (last)
                          y = Transpose <perm = [0, 3, 1, 2]> (m)""",
            "window": "y = MaxPool <kernel_shape = [12, 12]> (x)",
        },
        head="pooled",
        int8="MaxPool",
        opsets={"torch dynamo": 18},
    ),
    "flatten": Form(
        "GlobalAveragePool Flatten",
        {
            "torch": "p = GlobalAveragePool (x)\ny = Flatten <axis = 1> (p)",
            "torch view": """p = GlobalAveragePool (x)
                zero = Constant <value = int64 {0}> ()
                start = Constant <value = int64[1] {0}> ()
                minus = Constant <value = int64[1] {-1}> ()
                s = Shape (p)
                n = Gather <axis = 0> (s, zero)
                m = Unsqueeze (n, start)
                t = Concat <axis = 0> (m, minus)
                y = Reshape (p, t)""",
            "tf2onnx": """p = GlobalAveragePool (x)
                a = Constant <value = int64[2] {2, 3}> ()
                y = Squeeze (p, a)""",
            "tf2onnx Flatten": """p = GlobalAveragePool (x)
                zero = Constant <value = int64[1] {0}> ()
                one = Constant <value = int64[1] {1}> ()
                minus = Constant <value = int64[1] {-1}> ()
                s = Shape (p)
                n = Slice (s, zero, one, zero)
                t = Concat <axis = 0> (n, minus)
                y = Reshape (p, t)""",
            "paddle": """p = GlobalAveragePool (x)
                t = Constant <value = int64[2] {0, -1}> ()
                y = Reshape (p, t)""",
            "known channels": """p = GlobalAveragePool (x)
                t = Constant <value = int64[2] {-1, 8}> ()
                y = Reshape (p, t)""",
            "round trip": """p = GlobalAveragePool (x)
                f = Flatten (p)
                a = Constant <value = int64[1] {2}> ()
                u = Unsqueeze (f, a)
                v = Squeeze (u, a)
                t = Constant <value = int64[4] {0, 8, 1, 1}> ()
                w = Reshape (v, t)
                b = Constant <value = int64[2] {-1, -2}> ()
                y = Squeeze (w, b)""",
        },
        head="row",
    ),
    "reshapes without effect": Form(
        "",
        {
            "torch": """a = Constant <value = int64[1] {2}> ()
                u = Unsqueeze (x, a)
                y = Squeeze (u, a)""",
            "tf2onnx": """f = Flatten <axis = 2> (x)
                t = Constant <value = int64[4] {-1, 8, 12, 12}> ()
                y = Reshape (f, t)""",
            "paddle": """t = Constant <value = int64[4] {0, 8, 12, 12}> ()
                y = Reshape (x, t)""",
        },
    ),
    "padding of a convolution": Form(
        "Conv",
        {
            "torch": """p = Constant <value = int64[8] {0, 0, 1, 0, 0, 0, 1, 2}> ()
                z0 = Constant <value = float {0.0}> ()
                q = Pad <mode = "constant"> (x, p, z0)
                y = Conv <kernel_shape = [3, 3]> (q, w1, b1)""",
            "torch dynamo": """p = Constant <value_ints = [1, 0, 1, 2]> ()
                a = Constant <value_ints = [2, 3]> ()
                z0 = Constant <value_float = 0.0> ()
                q = Pad (x, p, z0, a)
                y = Conv <kernel_shape = [3, 3]> (q, w1, b1)""",
            "tf2onnx": """last = Transpose <perm = [0, 2, 3, 1]> (x)
                p = Constant <value = int64[8] {0, 1, 0, 0, 0, 1, 2, 0}> ()
                q = Pad (last, p)
                first = Transpose <perm = [0, 3, 1, 2]> (q)
                y = Conv <kernel_shape = [3, 3]> (first, w1, b1)""",
            "paddle": """q = Pad <mode = "constant", pads = [0, 0, 1, 0, 0, 0, 1, 2], value = 0.0> (x)
                y = Conv <kernel_shape = [3, 3], auto_pad = "VALID"> (q, w1, b1)""",
            "two Pads": """p = Constant <value = int64[8] {0, 0, 1, 0, 0, 0, 1, 0}> ()
                r = Constant <value = int64[8] {0, 0, 0, 0, 0, 0, 0, 2}> ()
                z0 = Constant <value = float {0.0}> ()
                q = Pad (x, p, z0)
                o = Pad (q, r, z0)
                y = Conv <kernel_shape = [3, 3]> (o, w1, b1)""",
        },
        opsets={"torch dynamo": 18, "paddle": 10},
    ),
    "padding of a maximum": Form(
        "MaxPool",
        {
            "torch": """p = Constant <value = int64[8] {0, 0, 1, 1, 0, 0, 1, 1}> ()
                z0 = Constant <value = float {-inf}> ()
                q = Pad (x, p, z0)
                y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (q)""",
            "tf2onnx": """p = Constant <value = int64[8] {0, 0, 1, 1, 0, 0, 1, 1}> ()
                z0 = Constant <value = float {-3.4028234663852886e38}> ()
                q = Pad (x, p, z0)
                y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (q)""",
            "paddle": """q = Pad <mode = "constant", pads = [0, 0, 1, 1, 0, 0, 1, 1], value = -inf> (x)
                y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (q)""",
        },
        opsets={"paddle": 10},
    ),
    "padding of a maximum by 0": Form(
        "MaxPool",
        {
            "torch": """p = Constant <value = int64[8] {0, 0, 0, 0, 0, 0, 1, 1}> ()
                q = Pad (x, p)
                y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (q)""",
            "tf2onnx": """last = Transpose <perm = [0, 2, 3, 1]> (x)
                p = Constant <value = int64[8] {0, 0, 0, 0, 0, 1, 1, 0}> ()
                q = Pad (last, p)
                first = Transpose <perm = [0, 3, 1, 2]> (q)
                y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (first)""",
        },
        positive=True,
    ),
    "padding of a maximum of a maximum of a sum by 0": Form(
        "Sigmoid Add MaxPool MaxPool",
        {
            "torch": """m = Sigmoid (x)
                s = Add (m, x)
                t = MaxPool <kernel_shape = [2, 2], strides = [1, 1]> (s)
                p = Constant <value = int64[8] {0, 0, 1, 1, 0, 0, 0, 0}> ()
                q = Pad (t, p)
                y = MaxPool <kernel_shape = [3, 3], strides = [2, 2]> (q)""",
        },
        positive=True,
    ),
    "padding of an average": Form(
        "AveragePool",
        {
            "torch": """p = Constant <value = int64[8] {0, 0, 1, 1, 0, 0, 1, 1}> ()
                z0 = Constant <value = float {0.0}> ()
                q = Pad (x, p, z0)
                y = AveragePool <kernel_shape = [3, 3], strides = [2, 2]> (q)""",
            "tf2onnx": """q = Pad <mode = "constant", pads = [0, 0, 1, 1, 0, 0, 1, 1], value = 0.0> (x)
                y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], count_include_pad = 1> (q)""",
        },
        int8="Conv",
        opsets={"tf2onnx": 10},
    ),
    "nothing": Form(
        "",
        {
            "torch": """r = Constant <value = float {0.5}> ()
                t = Constant <value = bool {0}> ()
                a = Identity (x)
                d, mask = Dropout (a, r, t)
                y = Identity (d)""",
            "tf2onnx": """h = Cast <to = 1> (x)
                a = Identity (h)
                b = Identity (a)
                y = Dropout (b)""",
            "paddle": """one = Constant <value = float[1] {1.0}> ()
                none = Constant <value = float[1] {0.0}> ()
                a = Mul (x, one)
                b = Add (none, a)
                c = Div (b, one)
                y = Sub (c, none)""",
            "wider and back": "a = Cast <to = 11> (x)\ny = Cast <to = 1> (a)",
            "old": "y = Dropout <ratio = 0.5> (x)",
        },
        opsets={"old": 10},
    ),
    "BatchNorm": Form(
        "",
        {
            "paddle": "a = Mul (x, gamma)\ny = Add (a, beta)",
            "tf2onnx": "a = Sub (x, middle)\nb = Div (a, deviation)\ny = Add (shifted, b)",
            "vectors": "g = Constant <value_ints = [8]> ()\nh = Constant <value_ints = [-1, 1, 1]> ()\n"
            "v = Reshape (gamma, g)\nr = Reshape (v, h)\na = Mul (x, r)\ny = Add (beta, a)",
        },
    ),
}

CASES = [(name, exporter) for name, form in FORMS.items() for exporter in form.texts]


def model(form: Form, exporter: str) -> onnx.ModelProto:
    opset = form.opsets.get(exporter, 17)
    text = f"""<ir_version: 8, opset_import: ["" : {opset}]>
net (float[n, 3, {SIDE}, {SIDE}] image) => (float[n, {CLASSES}] scores) {{
{POSITIVE if form.positive else FIRST}
{form.texts[exporter]}
{HEADS[form.head]}
}}"""
    made = onnx.parser.parse_model(text.replace("fc.", "fc_"))
    read = {name for node in made.graph.node for name in node.input}
    stored = {name.replace(".", "_"): values for name, values in STORED.items()}
    made.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in stored.items() if name in read
    )
    for number, node in enumerate(made.graph.node):
        node.name = f"n{number}"
    return made


def body(form: Form, exporter: str) -> onnx.ModelProto:
    return use_default_operators(model(form, exporter), "net.onnx", None)


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(batch, 3, SIDE, SIDE)).astype(np.float32)


def run(made: onnx.ModelProto, batch: int = 3) -> np.ndarray:
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, {"image": images(batch)})[0]
    return result


def between(made: onnx.ModelProto, form: Form) -> Counter[str]:
    """The operators that are not those around the pattern."""
    around = {"map": "Conv GlobalAveragePool Flatten Gemm", "pooled": "Flatten Gemm", "row": "Gemm"}
    first = "Conv Relu" if form.positive else "Conv"
    found = Counter(node.op_type for node in made.graph.node)
    found.subtract(f"{first} {around[form.head]}".split())
    return +found


@pytest.mark.parametrize("name, exporter", CASES)
def test_what_is_left(name: str, exporter: str) -> None:
    form = FORMS[name]
    made = body(form, exporter)
    simple = simplify(made)
    expected = run(model(form, exporter))
    assert np.abs(run(simple) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert between(simple, form) == Counter(form.left.split())
    legal = legalize(simple)
    assert np.abs(run(legal) - expected).max() <= 1e-5 * np.abs(expected).max()
    assert between(legal, form) == Counter((form.left if form.int8 is None else form.int8).split())
    assert simplify(simple) == simple


def quantized(form: Form, exporter: str) -> tuple[float, set[str]]:
    """The exactness in int8 on eight images, and what ONNX Runtime then computes in float."""
    legal = legalize(simplify(body(form, exporter)))
    histograms = calibrate(legal, [images(8)], tensors_to_observe(legal, INT8), threads=1)
    model = quantize_body(legal, choose_ranges(histograms, INT8.calibrate), INT8).model
    floats = set(inspect_optimized(model.SerializeToString()).float_operators)
    return sqnr_db(run(legal, 8), run(model, 8)), floats


@pytest.mark.parametrize("name", list(FORMS))
def test_every_form_is_as_exact_in_int8_as_the_first_and_nothing_stays_float(name: str) -> None:
    form = FORMS[name]
    usual, _ = quantized(form, next(iter(form.texts)))
    assert usual > 30
    for exporter in form.texts:
        own, floats = quantized(form, exporter)
        assert own > usual - 1, exporter
        assert floats <= form.floats, exporter


STAYS = {
    "a Pad that cuts": """p = Constant <value = int64[8] {0, 0, -1, 0, 0, 0, 0, 0}> ()
        q = Pad (x, p)
        y = Conv <kernel_shape = [3, 3]> (q, w1, b1)""",
    "a Pad by another number": """p = Constant <value = int64[8] {0, 0, 1, 0, 0, 0, 0, 0}> ()
        c = Constant <value = float {1.0}> ()
        q = Pad (x, p, c)
        y = Conv <kernel_shape = [3, 3]> (q, w1, b1)""",
    "a Pad of channels": """p = Constant <value = int64[8] {0, 1, 0, 0, 0, -1, 0, 0}> ()
        q = Pad (x, p)
        y = Conv <kernel_shape = [3, 3]> (q, w1, b1)""",
    "a maximum padded by 0": """p = Constant <value = int64[8] {0, 0, 1, 1, 0, 0, 1, 1}> ()
        q = Pad (x, p)
        y = MaxPool <kernel_shape = [3, 3]> (q)""",
    "a window of zeros alone": """p = Constant <value = int64[8] {0, 0, 3, 0, 0, 0, 0, 0}> ()
        r = Relu (x)
        q = Pad (r, p)
        y = MaxPool <kernel_shape = [3, 3]> (q)""",
    "a negative clamp of ReLU": "low = Constant <value = float {-1.0}> ()\ny = Max (x, low)",
    "a slope above 1": "a = Constant <value = float {1.5}> ()\nb = Mul (a, x)\ny = Max (x, b)",
    "a side of another tensor": """s = Sigmoid (x)
        p = Relu (x)
        m = Neg (s)
        q = Relu (m)
        r = Mul (q, slope)
        y = Sub (p, r)""",
    "a tangent of another tensor": "r = Sigmoid (x)\ns = Softplus (r)\nt = Tanh (s)\ny = Mul (x, t)",
    "a Cast that rounds": "a = Cast <to = 6> (x)\ny = Cast <to = 1> (a)",
    "a Transpose that counts": """f = Transpose <perm = [0, 1, 3, 2]> (x)
        t = Constant <value = int64[4] {0, 8, 9, 16}> ()
        y = Reshape (f, t)""",
    "a mean of one axis": "y = ReduceMean <axes = [2], keepdims = 1> (x)",
    "a window that is not the map": "y = AveragePool <kernel_shape = [12, 4]> (x)",
    "a 1 that widens": """a = Constant <value = float[1, 1, 1, 12] {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}> ()
        b = ReduceMean <axes = [3], keepdims = 1> (x)
        y = Mul (b, a)""",
}
"""What looks like a form and is none: it stays as it is."""
SMALL = {"a mean of one axis", "a window that is not the map"}


@pytest.mark.parametrize("name", list(STAYS))
def test_what_looks_like_a_form_stays(name: str) -> None:
    text = STAYS[name]
    if name in SMALL:
        text = text.replace("y =", "y0 =") + "\nup = Constant <value = int64[4] {1, 1, 12, 12}> ()\n"
        text += "y1 = ReduceMean <axes = [2, 3], keepdims = 1> (y0)\ny = Expand (y1, up)"
    form = Form("", {"any": text})
    simple, before = simplify(body(form, "any")), body(form, "any")
    wanted = run(model(form, "any"))
    np.testing.assert_allclose(run(simple), wanted, atol=1e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(run(legalize(simple)), wanted, atol=1e-5 * np.abs(wanted).max())
    kinds = Counter(node.op_type for node in before.graph.node if node.op_type != "Constant")
    if name not in SMALL:
        assert Counter(node.op_type for node in simple.graph.node) == kinds


def test_a_refusal_says_why() -> None:
    refusals: Refusals = {}
    simplify(body(Form("", {"any": STAYS["a maximum padded by 0"]}), "any"), refusals)
    assert list(refusals["fold_pads"].values()) == ["the Pad's value could be the maximum"]
