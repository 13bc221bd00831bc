"""Bounds: the queue, deadlines, slow clients, connections, memory; and what Prometheus is told of them."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc_runtime.errors import PackageError
from zooc_runtime.inference.model import Model, open_package
from zooc_runtime.preprocessing.steps import Resize
from zooc_runtime.serving.limits import Limits

Start = Callable[..., Any]


class Gate:
    """Holds back a model's network."""

    def __init__(self, model: Model) -> None:
        self._open = threading.Event()
        self._open.set()
        inner = model.run_tensor

        def run(tensor: Any) -> Any:
            assert self._open.wait(20)
            return inner(tensor)

        model.run_tensor = run  # type: ignore[method-assign]

    def __enter__(self) -> None:
        self._open.clear()

    def __exit__(self, *_: object) -> None:
        self._open.set()


@pytest.fixture(scope="module")
def model(pristine: Callable[..., Path]) -> Model:
    return open_package(pristine(), "onnxruntime", batch_size=4)


@pytest.fixture(scope="module")
def gate(model: Model) -> Gate:
    return Gate(model)


@pytest.fixture(scope="module")
def tight(start: Start, model: Model, gate: Gate) -> Any:
    limits = Limits(queue=3, seconds=10, transfer=0.4, connections=4, body=100_000, bodies=150_000)
    return start({"tinybird": model}, limits)


def metric(server: Any, name: str, *labels: str) -> float:
    text = server.ask("GET", "/metrics")[2].decode()
    for line in text.splitlines():
        if line.startswith(name) and all(label in line for label in labels):
            return float(line.split()[-1])
    return 0.0


def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("it did not come about")


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    tight: Any, gate: Gate, support: Any, pool: ThreadPoolExecutor
) -> None:
    body = json.dumps(support.json_of(support.jpeg())).encode()
    with gate:
        waiting = [pool.submit(tight.infer, body) for _ in range(3)]
        until(lambda: metric(tight, "zooc_queue_images", "tinybird") == 3)
        status, headers, answer = tight.ask("POST", "/v2/models/tinybird/infer", body)
        assert status == 429 and headers["Retry-After"] == "1"
        assert "3 images wait" in json.loads(answer)["error"]
    assert [one.result()[0] for one in waiting] == [200, 200, 200]
    assert metric(tight, "zooc_queue_images", "tinybird") == 0
    assert metric(tight, "zooc_errors_total", "queue_full") == 1


def test_a_deadline_that_passes_is_504_and_its_place_is_free_again(
    tight: Any, gate: Gate, support: Any
) -> None:
    with gate:
        document = support.json_of(support.jpeg(), parameters={"timeout": 50_000})
        status, answer = tight.infer(document)
        assert status == 504 and "0.05 seconds" in answer["error"]
    until(lambda: metric(tight, "zooc_queue_images", "tinybird") == 0)
    assert tight.infer(support.json_of(support.jpeg(), parameters={"timeout": 8_000_000}))[0] == 200


def test_images_of_different_clients_share_batches(
    tight: Any, gate: Gate, support: Any, pool: ThreadPoolExecutor, model: Model
) -> None:
    document = support.json_of(support.jpeg(), parameters={"timing": True})
    with gate:
        first = pool.submit(tight.infer, document)
        until(lambda: model.pipeline._running == 1)
        others = [pool.submit(tight.infer, document) for _ in range(2)]
        until(lambda: metric(tight, "zooc_queue_images", "tinybird") == 3)
    assert first.result()[1]["parameters"]["batch"] == 1
    assert [one.result()[1]["parameters"]["batch"] for one in others] == [2, 2]


def test_slow_headers_and_slow_bodies_are_408(tight: Any) -> None:
    begin = b"POST /v2/models/tinybird/infer HTTP/1.1\r\nHost: x\r\n"
    for piece in (b"", begin, begin + b"Content-Length: 99\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", tight.port), timeout=5) as connection:
            connection.sendall(piece)
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (
                response.status == 408
                and "took more than 0.4 seconds" in json.loads(response.read())["error"]
            )


def test_connections_are_bounded(tight: Any) -> None:
    opened = [socket.create_connection(("127.0.0.1", tight.port), timeout=5) for _ in range(4)]
    try:
        until(lambda: tight.ask("GET", "/v2/health/live")[0] == 503)
    finally:
        for connection in opened:
            connection.close()
    until(lambda: tight.ask("GET", "/v2/health/live")[0] == 200)


def test_bodies_share_one_budget(tight: Any) -> None:
    begin = b"POST /v2/models/tinybird/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", tight.port), timeout=5) as connection:
        connection.sendall(begin + b"{")
        found = []

        def refused() -> bool:
            found[:] = tight.ask("POST", "/v2/models/tinybird/infer", bytes(90_000))
            return found[0] == 503

        until(refused)
        assert found[1]["Retry-After"] == "1" and "too many large requests" in json.loads(found[2])["error"]
    until(lambda: tight.ask("POST", "/v2/models/tinybird/infer", bytes(90_000))[0] == 400)


def test_unread_answers_do_not_hold_a_connection(start: Start, pristine: Callable[..., Path]) -> None:
    """A client that sends requests and takes up no answer is cut off."""
    server = start({"tinybird": open_package(pristine(), "onnxruntime")}, Limits(transfer=0.3))
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with pytest.raises(ConnectionError):
            while True:
                connection.sendall(1000 * b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert server.get("/v2/health/live")[0] == 200


def test_metrics_count_codes_stages_and_batches(server: Any, support: Any) -> None:
    before = metric(server, "zooc_requests_total", 'code="200"', "tinybird")
    assert server.infer(support.json_of(*[support.jpeg()] * 3))[0] == 200
    assert server.infer({}, "stranger")[0] == 404
    assert metric(server, "zooc_requests_total", 'code="200"', "tinybird") == before + 1
    for stage in ("decode", "preprocess", "queue", "network"):
        assert metric(server, "zooc_stage_seconds_count", f'stage="{stage}"', "tinybird") >= 3
    assert metric(server, "zooc_batch_images_sum", "tinybird") >= 3
    text = server.ask("GET", "/metrics")[2].decode()
    assert "stranger" not in text and 'zooc_requests_total{code="404",model=""}' in text
    assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)


def test_before_the_warm_up_nothing_is_ready(
    start: Start, pristine: Callable[..., Path], support: Any
) -> None:
    model = open_package(pristine(), "onnxruntime")
    gate = Gate(model)
    with gate:
        server = start({"tinybird": model}, ready=False)
        until(lambda: server.get("/v2/health/live")[0] == 200)
        assert server.get("/v2/health/ready") == (503, {"ready": False})
        assert server.get("/v2/models/tinybird/ready")[0] == 503
        status, headers, answer = server.ask("POST", "/v2/models/tinybird/infer", b"{}")
        assert status == 503 and headers["Retry-After"] and "not ready" in json.loads(answer)["error"]
    until(lambda: server.get("/v2/health/ready")[0] == 200)
    assert server.infer(support.json_of(support.jpeg()))[0] == 200


def test_our_own_failure_is_500_without_details(
    server: Any, support: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(tensor: Any) -> Any:
        raise RuntimeError("a secret of the engine's")

    with monkeypatch.context() as patch:
        patch.setattr(server.models["tinybird"], "run_tensor", fail)
        status, answer = server.infer(support.json_of(support.jpeg()))
    assert status == 500 and "secret" not in answer["error"]
    assert "a secret of the engine's" in caplog.text
    assert server.infer(support.json_of(support.jpeg()))[0] == 200


def test_an_image_that_the_preprocessing_would_blow_up_is_refused(pristine: Callable[..., Path]) -> None:
    """4000 pixels pass, but 100000 x 50 are what `Resize(50)` would make of them."""
    model = open_package(pristine(), "onnxruntime")
    model.most_pixels = 10_000
    prelude = model.stages.prelude
    assert prelude is not None
    prelude.steps = (Resize(50),)
    with pytest.raises(PackageError, match="too elongated for Resize"):
        model(np.zeros((2, 4000, 3), np.uint8))
