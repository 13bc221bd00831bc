"""The programs of `examples/node` and `examples/cpp` answer, decode and fail as the Python package does.

`python -m pytest tests/consumers/test_examples.py -rP` prints the figures that their README files quote.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
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
from zooc_runtime.package.stages import Graph

pytestmark = pytest.mark.slow
pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
DIGITS = EXAMPLES / "digits"

PLAIN = """
model { source onnx("digits_resnest.onnx") input [2, 3, 64, 64] classes 10 }
preprocess { ECenterCrop(64) ToTensor() Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225]) }
quantize fp32
postprocess { topk 5 }
package { name plain }
"""
"""What digits.zoo is not: float, of a fixed batch, ending in logits, without labels."""

BOUNDS = {
    ("node", "digits"): (2e-6, 0),
    ("node", "plain"): (2e-6, 0),
    ("onnxruntime", "digits"): (2e-6, 0),
    ("onnxruntime", "plain"): (2e-6, 0),
    ("openvino", "digits"): (0.15, 5),
    ("openvino", "plain"): (2e-3, 0),
}
"""How far a probability may be off, and for how many of the 500 images the first class may be another."""

DECODE_CPP = """
#include "decode_jpeg.hpp"
int main(int count, char** files) {
    for (int i = 1; i < count; ++i) {
        const Image image = decode_jpeg(files[i]);
        const std::int32_t size[] = {std::int32_t(image.height), std::int32_t(image.width)};
        std::fwrite(size, sizeof *size, 2, stdout);
        std::fwrite(image.pixels.data(), 1, image.pixels.size(), stdout);
    }
}
"""
DECODE_MJS = """
import { writeSync } from "node:fs";
import { decode } from "./decode.mjs";
function write(bytes) {
  for (let at = 0; at < bytes.length; at += writeSync(1, bytes, at));
}
for (const file of process.argv.slice(2)) {
  const { pixels, dims } = await decode(file);
  write(new Uint8Array(Int32Array.from(dims.slice(0, 2)).buffer));
  write(pixels);
}
"""

Once = Callable[[str, Callable[[Path], None]], Path]


def call(*command: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)


def must(*command: object, **options: Any) -> str:
    done = call(*command, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def once(shared: Path) -> Once:
    """Fills a folder of that name, once for all workers of a test run."""

    def fill(name: str, build: Callable[[Path], None]) -> Path:
        folder = shared / "examples" / name
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not (folder / "ready").exists():
                build(folder)
                (folder / "ready").touch()
        return folder

    return fill


@pytest.fixture(scope="module")
def project(once: Once) -> Path:
    """Both packages, and the images in `data`."""

    def build(folder: Path) -> None:
        for name in ("digits.zoo", "labels.txt", "digits_resnest.onnx"):
            shutil.copy(DIGITS / name, folder)
        must(sys.executable, DIGITS / "make_dataset.py", folder / "data")
        (folder / "plain.zoo").write_text(PLAIN, "utf-8")
        for name in ("digits", "plain"):
            compile_package(Request(folder / f"{name}.zoo", folder / name), Context(Cache(None), Progress()))

    return once("project", build)


@pytest.fixture(scope="module")
def photos(project: Path) -> list[str]:
    """Half of the test images, relative to `data`: onnxruntime-node 1.30 crashes on long command lines."""
    files = sorted(project.glob("data/test/*/*.jpg"))[::2]
    return [file.relative_to(project / "data").as_posix() for file in files]


@pytest.fixture(scope="module")
def node(request: pytest.FixtureRequest, once: Once) -> Path:
    """A folder with the program and its modules."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    modules: Path = request.getfixturevalue("node_modules")
    for name in ("onnxruntime-node", "sharp"):
        if not (modules / name).is_dir():
            pytest.skip(f"npm has not installed {name}")

    def build(folder: Path) -> None:
        for name in ("classify.mjs", "decode.mjs"):
            shutil.copy(EXAMPLES / "node" / name, folder)
        (folder / "write.mjs").write_text(DECODE_MJS, "utf-8")
        (folder / "node_modules").symlink_to(modules, target_is_directory=True)

    return once("node", build)


def find_openvino() -> Path:
    """The folder of OpenVINO's wheel, which has the C++ headers and libraries."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    folder = Path(openvino.__file__).parent
    if not (folder / "cmake").is_dir():
        pytest.skip("this OpenVINO comes without C++ headers")
    return folder


def need_libjpeg() -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    header = call("g++", "-E", "-x", "c++", "-", input="#include <cstdio>\n#include <jpeglib.h>\n")
    if header.returncode != 0:
        pytest.skip("libjpeg's header is not installed")


@pytest.fixture(scope="module")
def cpp(once: Once) -> Path:
    """The folder that CMake built the programs in, for each runtime that is there."""
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    need_libjpeg()
    options = ["-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"]
    if "ORT_ROOT" in os.environ:
        options.append(f"-DORT_ROOT={os.environ['ORT_ROOT']}")
    if importlib.util.find_spec("openvino") is not None:
        options.append(f"-DOpenVINO_DIR={find_openvino() / 'cmake'}")

    def build(folder: Path) -> None:
        must("cmake", "-S", EXAMPLES / "cpp", "-B", folder, *options)
        must("cmake", "--build", folder)

    return once("cpp", build)


@pytest.fixture(params=["node", "openvino", "onnxruntime"])
def program(request: pytest.FixtureRequest) -> tuple[str, list[object]]:
    """A program's name and its command."""
    if request.param == "node":
        return "node", ["node", request.getfixturevalue("node") / "classify.mjs"]
    if request.param == "openvino":
        find_openvino()
    elif "ORT_ROOT" not in os.environ and not has_onnxruntime_headers():
        pytest.skip("ONNX Runtime's headers are not installed, and ORT_ROOT names none")
    return request.param, [request.getfixturevalue("cpp") / f"classify_{request.param}"]


def has_onnxruntime_headers() -> bool:
    return shutil.which("pkg-config") is not None and not call("pkg-config", "libonnxruntime").returncode


Answers = dict[str, dict[str, float]]


def read_answers(text: str) -> Answers:
    """Of each image the named classes and their probabilities, in order."""
    answers: Answers = {}
    for line in text.splitlines():
        if named := re.fullmatch(r"  ([01]\.\d{6})  (\w+ \(\d\))", line):
            answers[list(answers)[-1]][named[2]] = float(named[1])
        else:
            answers[line] = {}
    return answers


@functools.cache
def python_answers(project: Path, name: str, photos: tuple[str, ...]) -> Answers:
    environment = {**os.environ, "PYTHONPATH": str(project / name)}
    command = [sys.executable, "-m", name, "classify", "--quiet", *photos]
    return read_answers(must(*command, cwd=project / "data", env=environment))


@pytest.mark.parametrize("name", ["digits", "plain"])
def test_answers(program: tuple[str, list[object]], project: Path, photos: list[str], name: str) -> None:
    label, command = program
    given = read_answers(must(*command, project / name, *photos, cwd=project / "data"))
    wanted = python_answers(project, name, tuple(photos))
    assert list(given) == list(wanted) == photos
    assert all(len(classes) == 5 for classes in given.values())
    apart = [
        max(abs(given[photo][one] - wanted[photo][one]) for one in given[photo].keys() & wanted[photo].keys())
        for photo in photos
    ]
    others = sum(next(iter(given[photo])) != next(iter(wanted[photo])) for photo in photos)
    print(
        f"{label}, {name}: a probability differs by {max(apart):.1g} at most, by {np.median(apart):.1g} in "
        f"the median image; the first class is another for {others} of {len(photos)} images"
    )
    most, allowed = BOUNDS[label, name]
    assert max(apart) <= most
    assert others <= allowed


def make_images(folder: Path) -> list[Path]:
    """Images of odd sizes as JPEG in each subsampling, and as PNG in each mode."""
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize((321, 243))
    noise = random.normal(0, 12, (243, 321, 3))
    photo = Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8))
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        for quality in (50, 75, 95):
            file = folder / f"{name}_{quality}.jpg"
            photo.save(file, quality=quality, subsampling=subsampling)
    turned = Image.Exif()
    turned[0x0112] = 6
    photo.save(folder / "turned.jpg", exif=turned)
    photo.save(folder / "progressive.jpg", progressive=True)
    photo.convert("L").save(folder / "grey.jpg")
    photo.crop((0, 0, 1, 1)).save(folder / "one.jpg")
    photo.crop((0, 0, 17, 33)).save(folder / "small.jpg")
    whole = (folder / "420_75.jpg").read_bytes()
    tables = whole.index(b"\xff\xdb")
    (folder / "stray.jpg").write_bytes(whole[:tables] + b"stray" + whole[tables:])
    photo.putalpha(photo.getchannel("R"))
    for mode in ("RGB", "RGBA", "L", "LA", "P", "1"):
        (photo if mode == "RGBA" else photo.convert("RGB").convert(mode)).save(folder / f"{mode}.png")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("decoder", ["libjpeg", "sharp"])
def test_decoding(
    decoder: str, project: Path, photos: list[str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    files = [*make_images(tmp_path), *(project / "data" / photo for photo in photos[::5])]
    if decoder == "sharp":
        command: list[object] = ["node", request.getfixturevalue("node") / "write.mjs"]
    else:
        need_libjpeg()
        files = [file for file in files if file.suffix == ".jpg"]
        command = [tmp_path / "decode"]
        must(
            "g++",
            "-std=c++17",
            "-I",
            EXAMPLES / "cpp",
            "-xc++",
            "-",
            "-o",
            *command,
            "-ljpeg",
            input=DECODE_CPP,
        )
    raw = subprocess.run([*map(str, command), *map(str, files)], capture_output=True, check=True).stdout
    pixels = differing = most = start = 0
    for file in files:
        wanted = np.asarray(Image.open(file).convert("RGB"))
        assert struct.unpack_from("<2i", raw, start) == wanted.shape[:2], file.name
        given = np.frombuffer(raw, np.uint8, wanted.size, start + 8).reshape(wanted.shape)
        apart = np.abs(given.astype(int) - wanted).max(axis=2)
        pixels += apart.size
        differing += np.count_nonzero(apart)
        most = max(most, int(apart.max()))
        start += 8 + wanted.size
    assert start == len(raw)
    print(f"{decoder}: {differing} of {pixels} pixels in {len(files)} images differ from Pillow's, by {most}")
    assert differing == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, r"usage: .*PACKAGE IMAGE.*"),
        (["digits"], 2, r"usage: .*PACKAGE IMAGE.*"),
        (["nowhere", "grey.jpg"], 1, r"error: nowhere: not a package of zooc; .*"),
        (["text.jpg", "grey.jpg"], 1, r"error: text.jpg: not a package of zooc; .*"),
        (["digits", "nowhere.jpg"], 1, r"error: nowhere.jpg: .+"),
        (["digits", "text.jpg"], 1, r"error: text.jpg: .+"),
        (["digits", "cut.jpg"], 1, r"error: cut.jpg: .*[Pp]remature end.*"),
    ],
)
def test_errors(
    program: tuple[str, list[object]],
    project: Path,
    tmp_path: Path,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    (tmp_path / "digits").symlink_to(project / "digits", target_is_directory=True)
    (tmp_path / "text.jpg").write_text("no image", "utf-8")
    Image.new("L", (64, 64), 99).save(tmp_path / "grey.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "grey.jpg").read_bytes()[:-2])
    done = call(*program[1], *arguments, cwd=tmp_path)
    assert done.returncode == code
    assert done.stdout == ""
    assert re.fullmatch(message + "\n", done.stderr)


def test_a_folder_of_two_packages_is_refused(program: tuple[str, list[object]], tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        for file in ("manifest.json", "model.onnx"):
            (tmp_path / name / file).touch()
    done = call(*program[1], tmp_path, "grey.jpg")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "not a package of zooc" in done.stderr


@pytest.fixture(scope="module")
def runner(once: Once) -> Path:
    """run_openvino.cpp, which writes all outputs of a graph to a file."""
    openvino = find_openvino()
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")

    def build(folder: Path) -> None:
        source = Path(__file__).with_name("run_openvino.cpp")
        (library,) = (openvino / "libs").glob("libopenvino.so.*")
        flags = ["-std=c++17", "-O1", "-I", openvino / "include", f"-Wl,-rpath,{library.parent}"]
        must("g++", *flags, source, library, "-o", folder / "run")

    return once("runner", build) / "run"


def test_every_package_in_openvino_by_cpp(given: Any, runner: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(Graph(given.model).exposing(given.inner))
    names = [given.manifest["stages"]["postlude"]["output"], *given.inner]
    for golden in given.goldens:
        value = next(iter(golden.values()))
        (tmp_path / "input").write_bytes(value.tobytes())
        kind = "u8" if value.dtype == np.uint8 else "f32"
        must(runner, "model.onnx", kind, "input", "output", *value.shape, cwd=tmp_path)
        ends = np.cumsum([golden[name].size for name in names])[:-1]
        got = dict(zip(names, np.split(np.fromfile(tmp_path / "output", np.float32), ends), strict=True))
        if "pixels" in got:
            assert np.abs(got["pixels"] - golden["pixels"].ravel()).max() <= 1
        wanted = golden["logits"].ravel()
        assert np.linalg.norm(got["logits"] - wanted) / np.linalg.norm(wanted) <= given.tolerance
