"""The programs of examples/node and examples/cpp answer what the Python package answers; how they decode."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zooc_runtime
from zooc_runtime.stages import Graph

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Packages = Callable[[str], Any]
Program = Callable[..., subprocess.CompletedProcess[str]]


def call(*command: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def openvino_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(
        tmp_path_factory.mktemp("cpp"), "classify_openvino", f"-DOpenVINO_DIR={_openvino() / 'cmake'}"
    )


@pytest.fixture(scope="module")
def onnxruntime_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = os.environ.get("ORT_ROOT")
    if root is None:
        pytest.skip("ORT_ROOT names no folder with ONNX Runtime's C++ headers and library")
    return _built(tmp_path_factory.mktemp("cpp"), "classify_onnxruntime", f"-DORT_ROOT={root}")


def _openvino() -> Path:
    openvino = pytest.importorskip("openvino")
    folder = Path(openvino.__file__).parent
    if not (folder / "cmake").is_dir():
        pytest.skip("this OpenVINO comes without C++ headers")
    return folder


def _built(folder: Path, name: str, option: str) -> Path:
    if (
        not all(shutil.which(tool) for tool in ("cmake", "g++"))
        or not Path("/usr/include/jpeglib.h").exists()
    ):
        pytest.skip("cmake, g++ or libjpeg's header is not installed")
    configured = call(
        "cmake", "-S", EXAMPLES / "cpp", "-B", folder, option, "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"
    )
    assert configured.returncode == 0, configured.stderr
    built = call("cmake", "--build", folder)
    assert built.returncode == 0, built.stdout
    return folder / name


@pytest.fixture(scope="module")
def node_program(node_modules: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command that runs the example beside its packages."""
    if shutil.which("node") is None or not (node_modules / "sharp").is_dir():
        pytest.skip("Node.js, or the package sharp, is not installed")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(
        EXAMPLES / "node", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules")
    )
    (folder / "node_modules").symlink_to(node_modules)
    return ["node", folder / "classify.mjs"]


@pytest.fixture(params=["node_program", "openvino_program", "onnxruntime_program"])
def program(request: pytest.FixtureRequest) -> Program:
    """Runs one of the programs with the arguments given."""
    found = request.getfixturevalue(request.param)
    command = found if isinstance(found, list) else [found]
    return lambda *arguments: call(*command, *arguments)


def photographs(folder: Path) -> list[Path]:
    """JPEG files of odd sizes, with and without halved chroma."""
    random = np.random.default_rng(5)
    paths = []
    for number, (size, subsampling) in enumerate(
        [((161, 121), 2), ((161, 121), 0), ((640, 479), 2), ((99, 250), 1)]
    ):
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        paths.append(folder / f"{number}.jpg")
        coarse.resize(size, Image.Resampling.BICUBIC).save(paths[-1], quality=88, subsampling=subsampling)
    return paths


def answers(text: str) -> list[list[tuple[int, float]]]:
    """Class ids and probabilities, image for image, as `classify` prints them."""
    images: list[list[tuple[int, float]]] = []
    for line in text.splitlines():
        if match := re.match(r"  ([\d.]+)  .* \((\d+)\)$", line):
            images[-1].append((int(match[2]), float(match[1])))
        else:
            images.append([])
    return images


@pytest.mark.parametrize("name, apart", [("digits_fp32", 1e-4), ("digits", 0.02)])
def test_a_program_answers_what_the_package_answers(
    program: Program, package: Packages, tmp_path: Path, name: str, apart: float
) -> None:
    folder = package(name).folder
    images = photographs(tmp_path)
    done = program(folder.parent, *images)
    assert done.returncode == 0, done.stderr
    model = zooc_runtime.open_package(folder)
    for found, image in zip(answers(done.stdout), images, strict=True):
        wanted = model(image).probabilities
        assert len(found) >= 3
        assert found[0][0] == int(wanted.argmax())
        assert max(abs(probability - wanted[index]) for index, probability in found) <= apart


def test_mistakes_are_one_line(program: Program, package: Packages, tmp_path: Path) -> None:
    folder = package("digits").folder.parent
    image = photographs(tmp_path)[0]
    (tmp_path / "none.jpg").write_text("no image")
    (tmp_path / "half.jpg").write_bytes(image.read_bytes()[:900])
    for arguments, code, said in (
        ((), 2, "usage:"),
        ((folder,), 2, "usage:"),
        ((tmp_path, image), 1, "not a package"),
        ((tmp_path / "absent", image), 1, "not a package"),
        ((folder, tmp_path / "absent.jpg"), 1, "absent.jpg"),
        ((folder, tmp_path / "none.jpg"), 1, "none.jpg"),
        ((folder, tmp_path / "half.jpg"), 1, "half.jpg"),
    ):
        done = program(*arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.fixture(scope="module")
def cpp_runner(openvino_program: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """run_openvino.cpp, built against the same OpenVINO."""
    folder = tmp_path_factory.mktemp("runner")
    source = Path(__file__).with_name("run_openvino.cpp")
    libraries = _openvino() / "libs"
    (library,) = libraries.glob("libopenvino.so.*")
    flags = [f"-I{_openvino() / 'include'}", f"-Wl,-rpath,{libraries}"]
    built = call("g++", "-std=c++17", "-O1", *flags, source, library, "-o", folder / "run")
    assert built.returncode == 0, built.stderr
    return folder / "run"


def test_every_package_in_openvino_by_cpp(given: Any, cpp_runner: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(Graph(given.model).exposing(given.inner))
    names = [given.manifest["stages"]["postlude"]["output"], *given.inner]
    for golden in given.goldens:
        value = next(iter(golden.values()))
        (tmp_path / "input").write_bytes(value.tobytes())
        kind = "u8" if value.dtype == np.uint8 else "f32"
        done = call(
            cpp_runner,
            tmp_path / "model.onnx",
            kind,
            tmp_path / "input",
            tmp_path / "output",
            *map(str, value.shape),
        )
        assert done.returncode == 0, done.stderr
        values = np.split(
            np.fromfile(tmp_path / "output", np.float32),
            np.cumsum([golden[name].size for name in names])[:-1],
        )
        got = dict(zip(names, values, strict=True))
        if "pixels" in got:
            assert np.abs(got["pixels"] - golden["pixels"].ravel()).max() <= 1
        wanted = golden["logits"].ravel()
        assert np.linalg.norm(got["logits"] - wanted) / np.linalg.norm(wanted) <= given.tolerance


DECODE_CPP = """
#include "decode_jpeg.hpp"
int main(int, char** arguments) {
    const Image image = decode_jpeg(arguments[1]);
    std::fwrite(image.pixels.data(), 1, image.pixels.size(), stdout);
}
"""
DECODE_NODE = """
import sharp from "sharp";
const image = sharp(process.argv[2], { autoOrient: false }).removeAlpha().toColourspace("srgb");
process.stdout.write(await image.raw({ depth: "uchar" }).toBuffer());
"""


def _differences(command: list[str | Path], folder: Path) -> list[np.ndarray]:
    found = []
    for path in photographs(folder):
        done = subprocess.run([*map(str, command), str(path)], capture_output=True, check=True)
        wanted = np.asarray(Image.open(path).convert("RGB")).astype(int)
        found.append(np.abs(np.frombuffer(done.stdout, np.uint8).reshape(wanted.shape) - wanted))
        print(path.name, "most", found[-1].max(), "mean", round(float(found[-1].mean()), 3))
    return found


def test_libjpeg_decodes_as_pillow_does(openvino_program: Path, tmp_path: Path) -> None:
    """Where both are libjpeg-turbo, to the bit."""
    (tmp_path / "decode.cpp").write_text(DECODE_CPP)
    built = call(
        "g++", "-std=c++17", f"-I{EXAMPLES / 'cpp'}", "decode.cpp", "-o", "decode", "-ljpeg", cwd=tmp_path
    )
    assert built.returncode == 0, built.stderr
    assert max(d.max() for d in _differences([tmp_path / "decode"], tmp_path)) <= 1


def test_sharp_decodes_nearly_as_pillow_does(node_program: list[str | Path], tmp_path: Path) -> None:
    script = Path(node_program[1]).with_name("decode.mjs")
    script.write_text(DECODE_NODE)
    assert max(d.max() for d in _differences(["node", script], tmp_path)) <= 4
