"""Time packages with and without `Decode(scaled)` from 12-megapixel JPEG files to answers; compare pixels.

    python benchmarks/decode.py [--network torchvision.resnet18] [--images 6] [--rounds 9] [--format json]

The files are photographs enlarged to 4032 x 3024 with the noise of a sensor, quality 90: scikit-learn's, and
scikit-image's where it is installed; without both, waves of many lengths. For each way to resize, two
packages are compiled that differ in `Decode(scaled)` alone. Every round times both on every file, one after
the other. The table has medians of one `model(path)`, the median ratio of the two in a round, how far the
networks' inputs are apart, and what `python -m PKG bench --end-to-end` says.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from machine import machine
from numpy.typing import NDArray
from PIL import Image

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime import open_package

SIZE = (4032, 3024)
SENSOR_NOISE = 3.0
PIPELINES = ("Resize(256) CenterCrop(224)", "Resize([224, 224], bicubic)", "ECenterCrop(224)")


def main() -> int:
    """Print a row for each way to resize."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="torchvision.resnet18", help="with random weights, in int8")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--format", choices=("human", "json"), default="human")
    options = parser.parse_args()
    print(", ".join(f"{name}: {value}" for name, value in machine().items()), file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_files(folder / "images", options.images)
        rows = [measure(folder, steps, options.network, paths, options.rounds) for steps in PIPELINES]
    if options.format == "json":
        print(json.dumps(rows, indent=2))
        return 0
    heads = ("exact, ms", "scaled, ms", "ratio", "levels: mean", "max", "bench, images/s: exact", "scaled")
    print(f"| resize | {' | '.join(heads)} |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for row in rows:
        timed = f"{row['exact_ms']:.1f} | {row['scaled_ms']:.1f} | {row['ratio']:.2f}"
        apart = f"{row['mean']:.2f} | {row['max']}"
        print(f"| `{row['steps']}` | {timed} | {apart} | {row['exact_fps']:.1f} | {row['scaled_fps']:.1f} |")
    return 0


def measure(folder: Path, steps: str, network: str, paths: list[Path], rounds: int) -> dict[str, Any]:
    """Compile both packages of these steps, time them in turn, and compare their pixels."""
    packages = [compiled(folder, steps, network, word) for word in ("exact", "scaled")]
    models = [open_package(package) for package in packages]
    times: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for path in paths:
            for taken, model in zip(times, models, strict=True):
                start = time.perf_counter()
                model(path)
                if number:
                    taken.append(1e3 * (time.perf_counter() - start))
    apart = [np.abs(models[0].pixels(path).astype(int) - models[1].pixels(path)) for path in paths]
    exact_fps, scaled_fps = (images_per_second(package, folder / "images") for package in packages)
    return {
        "steps": steps,
        "exact_ms": median(times[0]),
        "scaled_ms": median(times[1]),
        "ratio": median(exact / scaled for exact, scaled in zip(*times, strict=True)),
        "mean": float(np.mean([one.mean() for one in apart])),
        "max": int(max(one.max() for one in apart)),
        "exact_fps": exact_fps,
        "scaled_fps": scaled_fps,
    }


def compiled(folder: Path, steps: str, network: str, word: str) -> Path:
    """Compile a package that decodes in this way; return the folder that is imported."""
    file = folder / f"{word}.zoo"
    file.write_text(
        f"model {{ source {network}  weights random()  input [batch, 3, 224, 224] }}\n"
        f"preprocess {{ Decode({word})  {steps}  ToTensor() }}\n"
        'quantize int8 { data images("images")  calibrate max  warn none }\n'
        f"package {{ name decode_{word} }}\n",
        encoding="utf-8",
    )
    output = folder / word
    compile_package(Request(file, output, force=True), Context(Cache(None), Progress()))
    return output / f"decode_{word}"


def images_per_second(package: Path, images: Path) -> float:
    """Run the package's own benchmark on the files."""
    command = [
        sys.executable,
        "-m",
        package.name,
        "bench",
        "--end-to-end",
        str(images),
        "--duration",
        "5",
        "--json",
    ]
    done = subprocess.run(command, cwd=package.parent, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["throughput_qps"])


def write_files(folder: Path, count: int) -> list[Path]:
    """Write `count` JPEG files of `SIZE`."""
    folder.mkdir()
    sources = photographs()
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        source = sources[number % len(sources)]
        mirrored = np.ascontiguousarray(source[:, ::-1] if number // len(sources) % 2 else source)
        large = np.asarray(Image.fromarray(mirrored).resize(SIZE, Image.Resampling.LANCZOS), np.float32)
        noisy = large + rng.normal(0, SENSOR_NOISE, large.shape)
        Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(path, quality=90)
    return paths


def photographs() -> list[NDArray[np.uint8]]:
    """Return those of the packages that are installed, uint8 `[H, W, 3]`; else waves."""
    found: list[NDArray[np.uint8]] = []
    try:
        from sklearn.datasets import load_sample_images

        found += load_sample_images().images
        import skimage.data

        found += [skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()]
    except ModuleNotFoundError as missing:
        print(f"without {missing.name}: {len(found) or 'no'} photographs", file=sys.stderr)
    return found or [waves(seed) for seed in range(4)]


def waves(seed: int) -> NDArray[np.uint8]:
    """Return a picture whose amplitudes fall with the frequency, as those of photographs do."""
    rng = np.random.default_rng(seed)
    height, width = SIZE[1] // 4, SIZE[0] // 4
    y, x = np.meshgrid(np.fft.fftfreq(height), np.fft.rfftfreq(width), indexing="ij")
    spectrum = rng.normal(size=(3, *x.shape, 2)) @ [1, 1j] / np.maximum(np.hypot(x, y), 1 / width) ** 1.2
    planes = np.fft.irfft2(spectrum, (height, width))
    planes = (planes - planes.mean((1, 2), keepdims=True)) / planes.std((1, 2), keepdims=True)
    return np.asarray((128 + 55 * planes).clip(0, 255).transpose(1, 2, 0), np.uint8)


if __name__ == "__main__":
    sys.exit(main())
