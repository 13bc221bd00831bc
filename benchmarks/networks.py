"""Compile many kinds of networks to int8 with random weights, and print what became of each.

    python benchmarks/networks.py [--size 128] [--rounds 15] [NAME ...]

NAME is a source of the language (`timm.resnet18`); without one the table of docs/networks.md is made. It
needs `pip install 'zooc[models,demo]'`: torch for the networks, scikit-learn for two photographs, whose crops
are the images of calibration and comparison. Seconds are those from the exported network to the int8 graph.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from PIL import Image
from sklearn.datasets import load_sample_images

from zooc.calibration.images import pixel_batches
from zooc.compilation import Request
from zooc.diagnostics.diagnostic import ZoocError
from zooc.ir.count import macs_of_nodes
from zooc.ir.session import open_session
from zooc.pipeline.compile import compile_graph
from zooc.pipeline.context import Context, Stopped
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc.verification.divergence import compare_bodies
from zooc.verification.engine_view import inspect_optimized

NAMES = (
    ("official", "resnest50 iresnet50"),
    ("timm", "wide_resnet50_2 resnet18 resnext50_32x4d seresnet50 res2net50_26w_4s regnety_008 nf_regnet_b0"),
    ("timm", "vgg11_bn repvgg_a0 densenet121 dla34 hrnet_w18_small xception41 inception_v3"),
    ("torchvision", "googlenet squeezenet1_1 shufflenet_v2_x1_0"),
    ("timm", "mobilenetv2_100 mobilenetv3_large_100 mnasnet_100 hardcorenas_a mixnet_s ghostnet_100"),
    ("timm", "efficientnet_b0 efficientnet_lite0 tf_efficientnet_b0"),
    ("timm", "convnext_atto convnextv2_atto poolformer_s12 mobilevit_xxs levit_128s coatnet_nano_rw_224"),
    ("timm", "vit_tiny_patch16_224 deit_tiny_patch16_224 swin_tiny_patch4_window7_224"),
)
WANTS_224 = {"official.iresnet50", "timm.vgg11_bn", "timm.levit_128s"}
ZOO = """
model {{ source {name}  weights random(seed=0)  input [batch, 3, {size}, {size}]  classes 1000 }}
preprocess {{
  Resize([{size}, {size}])
  ToTensor()
  Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
}}
quantize int8 {{ data images("images") }}
package {{ name network }}
"""
HEAD = "| network | size | seconds | MACs in int8 | logits | int8 / float time | float in ONNX Runtime |"


def main() -> None:
    """Print one row a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = [f"{library}.{name}" for library, names in NAMES for name in names.split()]
    parser.add_argument("names", nargs="*", metavar="NAME", default=every)
    parser.add_argument("--size", type=int, default=128, help="where the network does not fix it")
    parser.add_argument("--rounds", type=int, default=15, help="of timing, float and int8 in turn")
    options = parser.parse_args()
    print(HEAD, "|---|--:|--:|--:|--:|--:|---|", sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "images")
        for name in options.names:
            size = 224 if name in WANTS_224 or "_224" in name else options.size
            try:
                row = measure(Path(folder), name, size, options.rounds)
            except ZoocError as problem:
                row = f"{problem}"
            print(f"| {name} | {size} | {row} |", flush=True)


def write_images(folder: Path) -> None:
    """Eight crops of scikit-learn's two photographs."""
    folder.mkdir()
    for number, photograph in enumerate(load_sample_images().images):
        for left in range(0, 320, 80):
            crop = Image.fromarray(photograph[left : left + 300, left : left + 300])
            crop.save(folder / f"{number}-{left}.png")


def measure(folder: Path, name: str, size: int, rounds: int) -> str:
    """Compile one network; the rest of its row."""
    file = folder / "network.zoo"
    file.write_text(ZOO.format(name=name, size=size), "utf-8")
    request = Request(file, output=folder / "package")
    with contextlib.suppress(Stopped):  # the network comes into the cache
        compile_graph(request, Context(Cache(folder / "cache"), Progress(), stop_before="simplify_graph"))
    start = time.perf_counter()
    compiled = compile_graph(request, Context(Cache(folder / "cache"), Progress()))
    seconds = time.perf_counter() - start
    assert compiled.program.prelude is not None and compiled.images is not None and compiled.quantized
    pixels = list(pixel_batches(compiled.program.prelude, compiled.images, 1))
    float_body, body = compiled.program.body, compiled.body
    pairs = [(given, given) for given in pixels]
    agreement = compare_bodies(float_body, body, pairs, compiled.program.heads, lambda _: None).agreement
    optimized = inspect_optimized(body.SerializeToString(), compiled.quantized.layers)
    macs = macs_of_nodes(float_body)
    integer = 1 - sum(macs.get(layer.name, 0) for layer in optimized.float_layers) / sum(macs.values())
    floating = ", ".join(f"{count} {op}" for op, count in optimized.float_operators.items()) or "nothing"
    ratio = time_ratio(float_body, body, pixels[0], rounds)
    return f"{seconds:.0f} | {integer:.1%} | {agreement.sqnr_db:.1f} dB | {ratio:.2f} | {floating}"


def time_ratio(float_body: onnx.ModelProto, body: onnx.ModelProto, pixels: np.ndarray, rounds: int) -> float:
    """Int8 time over float time, medians of turns on one thread, batch 1."""
    sessions = [open_session(model, threads=1) for model in (float_body, body)]
    times: list[list[float]] = [[], []]
    for number in range(rounds + 2):
        for taken, session in zip(times, sessions, strict=True):
            start = time.perf_counter()
            session.run(None, {"pixels": pixels})
            if number >= 2:
                taken.append(time.perf_counter() - start)
    return median(times[1]) / median(times[0])


if __name__ == "__main__":
    main()
