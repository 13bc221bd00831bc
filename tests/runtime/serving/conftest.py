"""A server in a thread of this process, and a plain client."""

from __future__ import annotations

import base64
import http.client
import io
import json
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.inference.model import Model, open_package
from zooc_runtime.package.heads import Head
from zooc_runtime.serving.limits import Limits

LENGTH = "Inference-Header-Content-Length"


@pytest.fixture(scope="session", autouse=True)
def libraries() -> None:
    """Skips all where the server's libraries are missing."""
    for library in ("starlette", "uvicorn", "httptools", "prometheus_client"):
        pytest.importorskip(library, reason="the extra `serve` is not installed")


@dataclass
class Running:
    """A server that runs, and its packages."""

    port: int
    models: dict[str, Model]

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        status, _, body = self.ask("GET", path)
        return status, json.loads(body)

    def infer(self, document: Any, name: str = "tinybird", behind: bytes | None = None) -> tuple[int, Any]:
        """Post JSON, with binary data behind it if there is any, and read a JSON answer."""
        text = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {} if behind is None else {LENGTH: str(len(text))}
        status, _, body = self.ask("POST", f"/v2/models/{name}/infer", text + (behind or b""), headers)
        return status, json.loads(body)


Start = Callable[..., Running]


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts servers; they end with the module."""
    from zooc_runtime.serving.server import listen, serve

    ends: list[Callable[[], None]] = []

    def run(
        models: dict[str, Model], limits: Limits | None = None, *, ready: bool = True, **options: Any
    ) -> Running:
        taken = listen("127.0.0.1", 0)
        running = Running(taken.getsockname()[1], models)
        servers: list[Any] = []
        thread = threading.Thread(
            target=lambda: serve(taken, models, limits or Limits(), started=servers.append, **options)
        )
        thread.start()

        def end() -> None:
            servers[0].should_exit = True
            thread.join(20)
            assert not thread.is_alive()

        ends.append(end)
        for _ in range(400):
            if not ready or running.get("/v2/health/ready")[0] == 200:
                break
            threading.Event().wait(0.01)
        return running

    yield run
    for end in ends:
        end()


@pytest.fixture(scope="module")
def server(start: Start, pristine: Callable[..., Path]) -> Running:
    """A server of packages of images, of tensors, of two heads, and of embeddings."""
    models = {
        "tinybird": open_package(pristine(), "onnxruntime"),
        "tensors": open_package(pristine(tensor=True), "onnxruntime"),
        "heads": open_package(pristine(softmax=False, labels=None), "onnxruntime"),
        "embeddings": open_package(pristine(softmax=False), "onnxruntime"),
    }
    colours = ("red", "green", "blue")
    models["heads"].heads = (
        Head(3, "colour", 0, "none", topk=2, labels=colours),
        Head(4, "shape", 3, "none", topk=3),
    )
    models["embeddings"].heads = (Head(7, activation="l2_normalize"),)
    return start(models, Limits(pixels=10_000, queue=64, transfer=5))


def picture(width: int = 40, height: int = 30, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def jpeg(seed: int = 0) -> bytes:
    file = io.BytesIO()
    picture(seed=seed).save(file, "JPEG")
    return file.getvalue()


def json_of(*files: bytes, **more: Any) -> dict[str, Any]:
    """A request with files as base64."""
    data = [base64.b64encode(file).decode() for file in files]
    return {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [len(files)], "data": data}], **more}


@pytest.fixture
def support() -> Any:
    """This module's functions, for tests: a conftest cannot be imported."""
    return types.SimpleNamespace(jpeg=jpeg, picture=picture, json_of=json_of, LENGTH=LENGTH)
