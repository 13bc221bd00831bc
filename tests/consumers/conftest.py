"""Packages of every kind, each compiled once for all workers of a test run, to try the runtimes with."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from zooc.compilation import Request
from zooc.pipeline.compile import compile_package
from zooc.pipeline.context import Context
from zooc.support.cache import Cache
from zooc.support.progress import Progress

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
NODE_MODULES = Path(__file__).with_name("node_modules")

DESCRIPTION = """
model {{ source {source} {weights} input [batch, 3, {size}, {size}] classes {classes} }}
preprocess {preprocess}
quantize {quantize}
postprocess {{ softmax topk 3 }}
package {{ name {name} engines [onnxruntime, openvino] }}
"""
NORMALIZE = "ToTensor() Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])"
ECC = f"{{ ECenterCrop({{size}}) {NORMALIZE} }}"
IMAGENET = f"{{ Resize(256) CenterCrop({{size}}) {NORMALIZE} }}"
INT8 = 'int8 { data images("images") }'
VDSP = {
    "OpType": "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR",
    "OpConfig": {
        "IimageFormat": "RGB_PLANAR",
        "ResizeWidth": 72,
        "ResizeHeight": 72,
        "CropX": 4,
        "CropY": 4,
        "OimageWidth": 64,
        "OimageHeight": 64,
        "IimageWidth": 72,
        "IimageHeight": 72,
        "IimageWidthPitch": 72,
        "IimageHeightPitch": 72,
        "Mean": [0.485107421875, 0.4560546875, 0.406005859375],
        "Std": [0.22900390625, 0.2239990234375, 0.2249755859375],
        "NormaType": "DIV255_MINUSMEAN_DIVSTD",
        "ColorCvtCode": "NO_CHANGE",
        "ResizeType": "BILINEAR_CV",
    },
}


@dataclass(frozen=True)
class Kind:
    """One package: its network, its preprocessing, its data type."""

    source: str
    preprocess: str = ECC
    quantize: str = INT8
    size: int = 64
    classes: int = 10

    def text(self, name: str) -> str:
        values: dict[str, Any] = {"name": name, "size": self.size, "classes": self.classes}
        text = DESCRIPTION.format(
            source=self.source,
            weights="" if self.source.startswith("onnx") else "weights random(seed=0)",
            preprocess=self.preprocess.replace("{size}", str(self.size)),
            quantize=self.quantize,
            **values,
        )
        return text.replace("preprocess none\n", "")


def _digits(network: str = "resnest") -> str:
    return f'onnx("{DIGITS.as_posix()}/digits_{network}.onnx")'


KINDS = {
    "digits": Kind(_digits()),
    "digits_iresnet": Kind(_digits("iresnet")),
    "digits_wide_resnet": Kind(_digits("wide_resnet")),
    "digits_fp32": Kind(_digits(), quantize="fp32"),
    "digits_fp16": Kind(_digits(), quantize="fp16"),
    "digits_vdsp": Kind(_digits(), 'vdsp("vdsp.json")'),
    "digits_nv12": Kind(_digits(), f"{{ NV12(bt601) Resize([72, 72]) CenterCrop({{size}}) {NORMALIZE} }}"),
    "digits_opencv": Kind(_digits(), f"{{ Resize([64, 64], library=opencv) BGR() {NORMALIZE} }}"),
    "digits_torch": Kind(
        _digits(), f"{{ Resize(72, library=torch) CenterCrop({{size}}) {NORMALIZE} }}", "fp32"
    ),
    "digits_torch_plain": Kind(
        _digits(), f"{{ Resize([64, 64], bicubic, library=torch, antialias=false) {NORMALIZE} }}", "fp32"
    ),
    "digits_letterbox": Kind(_digits(), f"{{ Letterbox([64, 64]) {NORMALIZE} }}"),
    "digits_tensor": Kind(_digits(), "none", "fp32"),
    "resnest50": Kind("timm.resnest50d", size=224, classes=1000),
    "iresnet50": Kind("official.iresnet50", IMAGENET, size=224, classes=1000),
    "wide_resnet50_2": Kind("timm.wide_resnet50_2", IMAGENET, size=224, classes=1000),
    "transformer": Kind("timm.vit_tiny_patch16_224", IMAGENET, size=224, classes=1000),
}


@dataclass(frozen=True)
class Package:
    """A compiled package: its import package's folder, what it expects, and its manifest."""

    folder: Path
    manifest: dict[str, Any]
    goldens: list[dict[str, np.ndarray]]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def model(self) -> bytes:
        return (self.folder / "model.onnx").read_bytes()

    @property
    def tolerance(self) -> float:
        return float(self.manifest["goldens"]["logits_tolerance"])

    @property
    def inner(self) -> list[str]:
        """The boundary tensors inside of the graph."""
        return [name for name in list(self.goldens[0])[1:] if name in ("pixels", "logits")]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all workers of a test run, with images to calibrate on."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "consumers"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "images.lock"):
        if not (folder / "images").exists():
            (folder / "images").mkdir()
            random = np.random.default_rng(0)
            for number in range(6):
                coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
                coarse.resize((320, 240), Image.Resampling.BICUBIC).save(folder / "images" / f"{number}.png")
            (folder / "vdsp.json").write_text(json.dumps(VDSP), "utf-8")
    return folder


@pytest.fixture(scope="session")
def package(shared: Path) -> Callable[[str], Package]:
    """Compiles the package of that name, or takes what another worker has compiled."""

    @functools.cache
    def get(name: str) -> Package:
        kind = KINDS[name]
        if not kind.source.startswith("onnx") and importlib.util.find_spec("timm") is None:
            pytest.skip("timm is not installed")
        with FileLock(shared / f"{name}.lock"):
            if not (shared / name).exists():
                file = shared / f"{name}.zoo"
                file.write_text(kind.text(name), "utf-8")
                compile_package(Request(file, shared / name), Context(Cache(None), Progress()))
        return read_package(shared / name / name)

    return get


@pytest.fixture(params=list(KINDS))
def given(package: Callable[[str], Package], request: pytest.FixtureRequest) -> Package:
    """Each of the packages in turn."""
    return package(request.param)


def read_package(folder: Path) -> Package:
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    with np.load(folder / "goldens.npz", allow_pickle=False) as archive:
        order = ("image", "input", "pixels", "logits", "probabilities")
        goldens = [
            {name: archive[f"{name}_{index}"] for name in order if f"{name}_{index}" in archive}
            for index in range(sum(key.startswith("logits_") for key in archive.files))
        ]
    return Package(folder, manifest, goldens)


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder with what npm installed for these tests (`make test` does)."""
    if not NODE_MODULES.is_dir():
        pytest.skip("npm has not installed tests/consumers/package.json")
    return NODE_MODULES


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A browser that closes before it has read all is no error."""


@pytest.fixture
def serve() -> Iterator[Callable[[Path], http.server.ThreadingHTTPServer]]:
    """Serves a folder on the loopback address until the test ends, or the server is closed."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path) -> http.server.ThreadingHTTPServer:
        server = _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
