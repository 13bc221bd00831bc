"""`model.onnx` in a headless Chromium, by WebAssembly and WebGPU, and the page of `zooc export-web`."""

from __future__ import annotations

import base64
import http.server
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zooc_runtime
from zooc.package.web_page import runtime_files, web_page
from zooc_runtime.package.stages import Graph

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

Packages = Callable[[str], Any]
Serve = Callable[[Path], http.server.ThreadingHTTPServer]

QUIET = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]

RUN = """
async ({ wasm, providers, inputs }) => {
  const ort = await import("/ort/ort.mjs");
  ort.env.wasm.wasmPaths = { wasm: new URL(`/ort/${wasm}`, location).href };
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create("/model.onnx", { executionProviders: providers });
  const answers = [];
  for (const [index, { type, dims }] of inputs.entries()) {
    const bytes = await (await fetch(`/${index}.bin`)).arrayBuffer();
    const values = type === "uint8" ? new Uint8Array(bytes) : new Float32Array(bytes);
    const results = await session.run({ [session.inputNames[0]]: new ort.Tensor(type, values, dims) });
    const answer = {};
    for (const [name, { data, dims, type }] of Object.entries(results)) {
      let text = "";
      const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      for (let at = 0; at < raw.length; at += 9999) {
        text += String.fromCharCode(...raw.subarray(at, at + 9999));
      }
      answer[name] = { dims, type, data: btoa(text) };
    }
    answers.push(answer);
  }
  return answers;
}
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))),
        None,
    )
    if found is None:
        pytest.skip("there is no Chromium")
    return found


@pytest.fixture
def open_page(chromium: str) -> Iterator[Callable[..., Any]]:
    with playwright.sync_playwright() as driver:
        browsers = []

        def start(*arguments: str) -> Any:
            browsers.append(driver.chromium.launch(executable_path=chromium, args=[*QUIET, *arguments]))
            return browsers[-1].new_context().new_page()

        yield start
        for browser in browsers:
            browser.close()


def run_in_page(
    page: Any, serve: Serve, folder: Path, package: Any, modules: Path, backend: str
) -> list[dict[str, Any]]:
    """The graph's outputs, inner tensors included, for each golden."""
    files = runtime_files(backend, modules)[1]
    (folder / "ort").mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / "index.html").write_text("<!doctype html><title>test</title>")
    (folder / "model.onnx").write_bytes(Graph(package.model).exposing(package.inner))
    inputs = [next(iter(golden.values())) for golden in package.goldens]
    for index, value in enumerate(inputs):
        (folder / f"{index}.bin").write_bytes(np.ascontiguousarray(value).tobytes())
    page.goto(f"http://127.0.0.1:{serve(folder).server_port}/index.html")
    wasm = next(name for name in files if name.endswith(".wasm")).removeprefix("ort/")
    providers = ["webgpu", "wasm"] if backend == "webgpu" else ["wasm"]
    described = [{"type": value.dtype.name, "dims": list(value.shape)} for value in inputs]
    answers = page.evaluate(RUN, {"wasm": wasm, "providers": providers, "inputs": described})
    return [{name: _array(output) for name, output in answer.items()} for answer in answers]


def _array(output: dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(output["data"]), output["type"])
    return values.reshape(output["dims"])


def distance(got: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.linalg.norm(got[:1] - wanted) / np.linalg.norm(wanted))


def test_webassembly(given: Any, node_modules: Path, open_page, serve: Serve, tmp_path: Path) -> None:
    answers = run_in_page(open_page(), serve, tmp_path / "site", given, node_modules, "wasm")
    for golden, answer in zip(given.goldens, answers, strict=True):
        if "pixels" in golden:
            np.testing.assert_array_equal(answer["pixels"], golden["pixels"])
        assert distance(answer["logits"], golden["logits"]) <= given.tolerance


@pytest.mark.parametrize("name", ["digits_fp16", "digits_fp32", "digits_torch", "digits_torch_plain"])
def test_webgpu(package: Packages, node_modules, open_page, serve: Serve, tmp_path: Path, name: str) -> None:
    page = open_page(*WEBGPU)
    given = package(name)
    (tmp_path / "site").mkdir()
    page.goto(f"http://127.0.0.1:{serve(tmp_path / 'site').server_port}/")
    if not page.evaluate("async () => !!(await navigator.gpu?.requestAdapter())"):
        pytest.skip("this Chromium has no WebGPU adapter")
    answers = run_in_page(page, serve, tmp_path / "gpu", given, node_modules, "webgpu")
    for golden, answer in zip(given.goldens, answers, strict=True):
        np.testing.assert_array_equal(answer["pixels"], golden["pixels"])
        assert distance(answer["logits"], golden["logits"]) <= given.tolerance


@pytest.fixture
def exported(package: Packages, node_modules: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    for name, data in web_page(package("digits_fp32").folder, "wasm", node_modules).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def photograph(folder: Path, name: str, **options: Any) -> Path:
    random = np.random.default_rng(3)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    path = folder / name
    coarse.resize((161, 121), Image.Resampling.BICUBIC).save(path, **options)
    return path


def shown(page: Any, image: Path) -> list[tuple[int, float]]:
    """The classes and probabilities that the page shows for an image."""
    page.set_input_files("#file", str(image))
    page.wait_for_selector("#answer:not([hidden])")
    script = "rows => rows.map(row => [Number(row.dataset.index), row.querySelector('data').value])"
    return [(index, float(value)) for index, value in page.eval_on_selector_all("#classes li", script)]


def test_the_page_answers_what_the_package_answers_with_the_network_off(
    package: Packages, exported: Path, open_page, serve: Serve, tmp_path: Path
) -> None:
    page = open_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    server = serve(exported)
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    page.wait_for_selector("#file:not([disabled])")
    assert page.title() == "digits_fp32"
    page.evaluate("() => navigator.serviceWorker.ready.then(() => true)")

    # All that a second visit needs is kept: the server goes, the network too.
    server.shutdown()
    server.server_close()
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("#file:not([disabled])")
    image = photograph(tmp_path, "lossless.png")
    model = zooc_runtime.open_package(package("digits_fp32").folder)
    found = shown(page, image)
    wanted = [(p.index, p.probability) for p in model(image).topk]
    assert [index for index, _ in found] == [index for index, _ in wanted]
    np.testing.assert_allclose([p for _, p in found], [p for _, p in wanted], atol=1e-6)
    assert not problems


def test_the_page_says_what_is_wrong(exported: Path, open_page, serve: Serve, tmp_path: Path) -> None:
    page = open_page()
    address = f"http://127.0.0.1:{serve(exported).server_port}/"
    page.goto(address)
    page.wait_for_selector("#file:not([disabled])")
    page.set_input_files("#file", str(exported / "model.json"))
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status") == "model.json is not an image that the browser can read"
    (exported / "model.onnx").write_bytes((exported / "model.onnx").read_bytes()[:-9])
    page = open_page()
    page.goto(address)
    page.wait_for_selector("#status.error")
    assert page.inner_text("#status").startswith(
        "The classifier cannot be loaded: model.onnx came only in part"
    )


DECODE = """
async (name) => {
  const { decode } = await import("/classify.mjs");
  const { pixels, height, width } = await decode(await (await fetch(`/${name}`)).blob());
  let text = "";
  for (let at = 0; at < pixels.length; at += 9999) {
    text += String.fromCharCode(...pixels.subarray(at, at + 9999));
  }
  return { height, width, data: btoa(text) };
}
"""


def test_a_browser_decodes_nearly_as_pillow_does(exported: Path, open_page, serve: Serve) -> None:
    """Lossless files to the bit. JPEG within a few grey levels; turned by EXIF in neither."""
    page = open_page()
    page.goto(f"http://127.0.0.1:{serve(exported).server_port}/index.html")
    turned = Image.Exif()
    turned[0x0112] = 6
    files = {
        "lossless.png": {},
        "palette.webp": {"lossless": True},
        "420.jpg": {"quality": 90, "subsampling": 2},
        "444.jpg": {"quality": 90, "subsampling": 0},
        "turned.jpg": {"quality": 90, "exif": turned},
    }
    for name, options in files.items():
        path = photograph(exported, name, **options)
        answer = page.evaluate(DECODE, name)
        got = np.frombuffer(base64.b64decode(answer["data"]), np.uint8).reshape(
            answer["height"], answer["width"], 3
        )
        wanted = np.asarray(Image.open(path).convert("RGB"))
        difference = (
            np.abs(got.astype(int) - wanted.astype(int)) if got.shape == wanted.shape else np.array([999])
        )
        print(name, difference.max(), round(float(difference.mean()), 3))
        assert difference.max() <= (0 if path.suffix in (".png", ".webp") else 4), name


def test_strings_of_the_package_are_text_on_the_page(
    exported: Path, open_page, serve: Serve, tmp_path: Path
) -> None:
    described = json.loads((exported / "model.json").read_text("utf-8"))
    described["labels"] = [f"<img src=x onerror=alert({n})>" for n in range(10)]
    (exported / "model.json").write_text(json.dumps(described), "utf-8")
    page = open_page()
    page.goto(f"http://127.0.0.1:{serve(exported).server_port}/")
    page.wait_for_selector("#file:not([disabled])")
    shown(page, photograph(tmp_path, "any.png"))
    assert page.inner_text("#classes li span").startswith("<img src=x")
    assert page.query_selector("#classes img") is None
