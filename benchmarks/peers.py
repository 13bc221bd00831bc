"""Measure packages and their peers in one run: the network alone, and end to end from JPEG files.

    python benchmarks/peers.py --export                 # once, where torch and timm are (zooc[models])
    python benchmarks/peers.py [--networks resnest50d] [--onnx FILE] [--kinds latency] [--rounds 5]
                               [--seconds 1.5] [--format human|json] [--write]

Peers are ONNX Runtime in float32 and with its own quantize_static, OpenVINO, NNCF's int8 on OpenVINO, and the
quantize_static graph on OpenVINO; those that are not installed are left out. NNCF wants versions of its own
of many packages, so a throwaway environment suits:

    python -m venv peers && peers/bin/pip install nncf openvino -e '.[demo]'
    peers/bin/python benchmarks/peers.py --write

Every contestant is a process that stays alive (peers_worker.py). Each first tries a few numbers of streams,
threads and batch, and keeps its best; then in every round all of them are measured, one after the other.
`--write` puts the tables into RESULTS.md beside this script, after every network.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine, sources_digest
from peers_tables import LIMIT, render
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
WORKER = Path(__file__).with_name("peers_worker.py")
RESULTS = Path(__file__).with_name("RESULTS.md")
BUILD = ROOT / "build" / "benchmarks" / "peers"
NETWORKS = {
    "resnest50d": "timm.resnest50d",
    "wide_resnet50_2": "timm.wide_resnet50_2",
    "iresnet50": "official.iresnet50",
}
KINDS = ("latency", "throughput", "images")
NETWORK_ALONE = KINDS[:2]
DESCRIPTION = """\
model {{ source onnx({onnx})  input [batch, 3, 224, 224]  classes {classes} }}
preprocess {{ Resize(256)  CenterCrop(224)  ToTensor()
             Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]) }}
quantize int8 {{ calibrate percentile(99.99)  data images({images}) }}
postprocess {{ softmax  topk 5 }}
package {{ name {name}  version "1.0.0"  engines [onnxruntime, openvino] }}
"""


@dataclass(frozen=True)
class Contestant:
    """One engine with one model.

    Attributes:
        model: of the files that `_prepare` makes.
        needs: a package without which it is left out.
        kinds: what it takes part in.
    """

    label: str
    tool: str
    model: str
    needs: str = ""
    kinds: tuple[str, ...] = KINDS
    options: dict[str, Any] = field(default_factory=dict)


CONTESTANTS = (
    Contestant("ONNX Runtime float32", "onnxruntime", "float", kinds=NETWORK_ALONE),
    Contestant("ONNX Runtime quantize_static", "onnxruntime", "static"),
    Contestant("OpenVINO", "openvino", "float", "openvino", NETWORK_ALONE),
    Contestant("NNCF on OpenVINO", "openvino", "nncf", "nncf"),
    Contestant("quantize_static on OpenVINO", "openvino", "static", "openvino"),
    Contestant("NNCF on OpenVINO, resizing too", "openvino-resizes", "nncf", "nncf", ("images",)),
    Contestant("zooc on ONNX Runtime", "zooc", "package", options={"engine": "onnxruntime"}),
    Contestant("zooc on OpenVINO", "zooc", "package", "openvino", options={"engine": "openvino"}),
    Contestant(LIMIT, "products", "products", "openvino", ("throughput",)),
)


class Failed(SystemExit):
    """A contestant ended of itself; the message says which, and where its words are."""


class Process:
    """A contestant at work."""

    def __init__(self, contestant: Contestant, models: dict[str, str], log: Path) -> None:
        self.contestant = contestant
        job = {"tool": contestant.tool, "model": models[contestant.model], "float": models["float"]}
        job |= contestant.options
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), "serve", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._log = log

    def measure(self, setting: dict[str, Any]) -> dict[str, float]:
        """See peers_worker.py."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(setting) + "\n")
            self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise Failed(f"{self.contestant.label} failed; its words are in {self._log}")
        result: dict[str, float] = json.loads(line)
        return result

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def main() -> int:
    """Runs the benchmark."""
    options = _options()
    chosen = {name: BUILD / name / "float.onnx" for name in options.networks}
    if options.export:
        return _export(chosen)
    chosen |= {path.stem: path for path in options.onnx}
    if missing := [name for name, path in chosen.items() if not path.is_file()]:
        print(
            f"peers.py: no ONNX file of {', '.join(missing)}; where zooc[models] is installed, run\n"
            "  python benchmarks/peers.py --export",
            file=sys.stderr,
        )
        return 1
    calibration = _calibration_images()
    photographs = _photographs()
    results: dict[str, Any] = {
        "machine": machine(),
        "date": time.strftime("%Y-%m-%d"),
        "sources": sources_digest(),
        "rounds": options.rounds,
        "networks": {},
    }
    for name, path in chosen.items():
        _say(name)
        models = _prepare(name, path, calibration)
        results["networks"][name] = _compare(name, models, photographs, options)
        if options.write:
            RESULTS.write_text(render(results), encoding="utf-8")
    print(json.dumps(results, indent=2) if options.format == "json" else render(results))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument(
        "--onnx", nargs="*", type=Path, default=[], help="float32 files, input [N, 3, 224, 224]"
    )
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="what to measure")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--cores", type=int, default=_cores(), help="to use")
    parser.add_argument("--export", action="store_true", help="only write the networks' ONNX files")
    parser.add_argument("--format", choices=("human", "json"), default="human")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name} too")
    return parser.parse_args()


def _cores() -> int:
    from zooc_runtime.inference.cpu import available_cores

    return available_cores()


def _export(chosen: dict[str, Path]) -> int:
    for name, path in chosen.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "zooc",
            "export",
            NETWORKS[name],
            "--size",
            "224",
            "--weights",
            "random",
        ]
        exported = subprocess.run(
            [*command, "-o", str(path.parent), "--force", "--quiet"],
            check=True,
            text=True,
            capture_output=True,
        )
        Path(exported.stdout.splitlines()[0]).replace(path)
        _say(str(path))
    return 0


def _calibration_images() -> list[str]:
    folder = ROOT / "examples" / "digits" / "data" / "train"
    found = sorted(str(p) for p in folder.rglob("*.jpg"))
    if not found:
        raise SystemExit("peers.py: first run python examples/digits/make_dataset.py")
    return found[:: max(len(found) // 32, 1)][:32]


def _photographs() -> list[str]:
    """JPEG files of about 500 x 375: cuttings of scikit-learn's two photographs."""
    from sklearn.datasets import load_sample_images

    folder = BUILD / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    for number in range(64):
        picture = pictures[number % 2]
        width = int(random.integers(260, 560))
        height = width * 3 // 4
        left, top = (
            int(random.integers(0, free + 1)) for free in (picture.width - width, picture.height - height)
        )
        cutting = picture.crop((left, top, left + width, top + height))
        size = int(random.integers(480, 521)), int(random.integers(360, 391))
        cutting.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number:02}.jpg", quality=90)
    return sorted(str(path) for path in folder.glob("*.jpg"))


def _prepare(name: str, path: Path, calibration: list[str]) -> dict[str, str]:
    """All models of a network; those that are newer than the float32 file are kept, but for the package."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    models = {"float": path, "static": folder / "static.onnx", "nncf": folder / "nncf.xml"}
    models["products"] = folder / "products.onnx"
    for tool, model in (
        ("quantize_static", models["static"]),
        ("nncf", models["nncf"]),
        ("products", models["products"]),
    ):
        if tool == "nncf" and not _installed("nncf"):
            continue
        if not model.is_file() or model.stat().st_mtime < path.stat().st_mtime:
            _say(f"  {tool}")
            job = {"tool": tool, "float": str(path), "model": str(model), "calibration": calibration}
            subprocess.run(
                [sys.executable, str(WORKER), "prepare", json.dumps(job)], check=True, capture_output=True
            )
    _say("  zooc compile")
    images = folder / "images"
    images.mkdir(exist_ok=True)
    for image in calibration:
        (images / Path(image).name).write_bytes(Path(image).read_bytes())
    package = name.replace("-", "_").lower()
    text = DESCRIPTION.format(
        onnx=json.dumps(str(path)), classes=_classes(path), images=json.dumps(str(images)), name=package
    )
    (folder / "network.zoo").write_text(text, encoding="utf-8")
    output = folder / "package"
    command = [
        sys.executable,
        "-m",
        "zooc",
        "compile",
        str(folder / "network.zoo"),
        "-o",
        str(output),
        "--force",
        "-q",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {**{kind: str(model) for kind, model in models.items()}, "package": str(output / package)}


def _classes(path: Path) -> int:
    import onnx

    output = onnx.load(path, load_external_data=False).graph.output[0]
    return int(output.type.tensor_type.shape.dim[-1].dim_value)


def _compare(
    name: str, models: dict[str, str], photographs: list[str], options: argparse.Namespace
) -> dict[str, list[dict[str, Any]]]:
    """Rows of latency, throughput and images: a label, its setting, and what each round gave."""
    with contextlib.ExitStack() as stack:
        processes = []
        for contestant in CONTESTANTS:
            if contestant.needs and not _installed(contestant.needs):
                _say(f"  without {contestant.label}: {contestant.needs} is not installed")
                continue
            process = Process(contestant, models, BUILD / name / f"{len(processes)}.log")
            stack.callback(process.close)
            processes.append(process)
        rows: dict[str, list[dict[str, Any]]] = {kind: [] for kind in options.kinds}
        for kind, table in rows.items():
            for process in processes:
                if kind in process.contestant.kinds:
                    _say(f"  {kind}, settings: {process.contestant.label}")
                    setting = _best(process, kind, photographs, options)
                    table.append({"label": process.contestant.label, "setting": setting, "rates": []})
        by_label = {process.contestant.label: process for process in processes}
        for number in range(options.rounds):
            _say(f"  round {number + 1} of {options.rounds}")
            for kind, table in rows.items():
                for row in table:
                    setting = {**row["setting"], "seconds": _window(kind, options)}
                    setting["images"] = photographs if kind == "images" else []
                    found = by_label[row["label"]].measure(setting)
                    row["rates"].append(
                        1e3 / found["latency_ms"] if kind == "latency" else found["per_second"]
                    )
    return rows


def _window(kind: str, options: argparse.Namespace) -> float:
    """Seconds of a measurement: a pipeline answers in bursts, of which a window has to hold many."""
    return float(options.seconds) * (2 if kind == "images" else 1)


def _best(process: Process, kind: str, photographs: list[str], options: argparse.Namespace) -> dict[str, int]:
    """The fastest of a few settings: of a single request for latency, of images a second otherwise."""
    tried = []
    for streams, threads, batch in _candidates(kind, process.contestant, options.cores):
        setting = {"streams": streams, "threads": threads, "batch": batch}
        images = photographs if kind == "images" else []
        found = process.measure({**setting, "seconds": _window(kind, options), "images": images})
        tried.append((found["per_second"], setting))
    return max(tried, key=lambda pair: pair[0])[1]


def _candidates(kind: str, contestant: Contestant, cores: int) -> Iterator[tuple[int, int, int]]:
    """Streams, threads in each, batch."""
    if kind == "latency":
        yield 1, cores, 1
        return
    yield cores, 1, 1
    if contestant.tool == "openvino-resizes":  # images of different sizes make no batch
        return
    yield cores, 1, 4
    if kind == "images":  # decoding in the caller's thread wants more of those than the engine has streams
        yield 2 * cores, 1, 1
    else:
        yield 1, cores, 8


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
