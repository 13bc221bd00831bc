"""`PKG.serve_app`: the application that Ray Serve runs."""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest


class FakeServe(ModuleType):
    """Of `ray.serve` what the application uses: it keeps what it is given, and builds nothing."""

    def ingress(self, build: Any) -> Any:
        return lambda: SimpleNamespace(build=build)

    def deployment(self, made: Any, **options: Any) -> Any:
        return SimpleNamespace(bind=lambda: SimpleNamespace(build=made.build, options=options))


@pytest.fixture
def importable(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package on the path, freshly imported, and a Ray Serve that starts nothing."""
    monkeypatch.syspath_prepend(str(package.parent))
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))
    monkeypatch.setitem(sys.modules, "ray.serve", FakeServe("ray.serve"))
    yield package
    for name in [name for name in sys.modules if name.split(".")[0] == package.name]:
        del sys.modules[name]


def app_of(package: Path) -> Any:
    return importlib.import_module(f"{package.name}.serve_app")


def test_the_application_answers_as_the_model_does(importable: Path, support: Any) -> None:
    testing = pytest.importorskip("starlette.testclient", reason="starlette's client needs httpx")
    module = app_of(importable)
    files = [support.jpeg(seed) for seed in range(2)]
    with testing.TestClient(module.app.build()) as client:
        assert client.get("/v2/health/ready").json() == {"ready": True}
        assert client.get("/").status_code == 404
        body = support.json_of(*files)
        answer = client.post(f"/v2/models/{importable.name}/infer", content=json.dumps(body))
    assert answer.status_code == 200
    with importlib.import_module(importable.name).load(hint="throughput") as model:
        wanted = model.probabilities(files)
    got = answer.json()["outputs"][0]
    np.testing.assert_array_equal(np.array(got["data"], np.float32).reshape(got["shape"]), wanted)


def test_ray_queues_no_more_than_the_server_would(importable: Path) -> None:
    module = app_of(importable)
    assert module.app.options == {
        "name": importable.name,
        "max_ongoing_requests": 256,
        "max_queued_requests": 256,
    }
    limited = module.build({"queue_size": "12", "threads": "1", "engine": "onnxruntime", "timeout": 2.5})
    assert limited.options["max_ongoing_requests"] == 12
    assert limited.build() is not None


@pytest.mark.parametrize(
    "arguments, told",
    [
        ({"thread": "1"}, "did you mean threads?"),
        ({"colour": "red"}, "known are engine,"),
        ({"threads": "two"}, "threads=two: not a number"),
        ({"queue_size": None}, "queue_size=None: not a number"),
        ({"timeout": "0"}, "timeout=0: must be more than 0"),
        ({"timeout": "nan"}, "timeout=nan: must be more than 0"),
    ],
)
def test_mistyped_options_are_refused_before_a_replica_starts(
    arguments: dict[str, Any], told: str, importable: Path
) -> None:
    module = app_of(importable)
    error = importlib.import_module(importable.name).PackageError
    with pytest.raises(error, match=told.replace("?", r"\?")):
        module.build(arguments)


def test_without_ray_the_error_names_the_remedy(importable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    error = importlib.import_module(importable.name).PackageError
    with pytest.raises(error, match=r"pip install 'ray\[serve\]"):
        app_of(importable)


@pytest.mark.slow
def test_ray_serve_runs_it(package: Path, support: Any, tmp_path: Path) -> None:
    pytest.importorskip("ray.serve", reason="ray[serve] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    application = {"name": "a", "import_path": f"{package.name}.serve_app:build", "args": {"threads": 1}}
    config = {"http_options": {"port": port}, "applications": [application]}
    (tmp_path / "serve.json").write_text(json.dumps(config))  # JSON is YAML
    command = [sys.executable, "-m", "ray.serve.scripts", "run", str(tmp_path / "serve.json")]
    path = os.pathsep.join([str(package.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "RAY_USAGE_STATS_ENABLED": "0"}
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            command, cwd=package.parent, env=environment, stdout=log, stderr=log, start_new_session=True
        ) as running,
    ):
        try:
            status = wait_for(f"http://127.0.0.1:{port}/v2/health/ready", running)
            assert status == 200, (tmp_path / "log").read_text("utf-8", "replace")
            body = json.dumps(support.json_of(support.jpeg())).encode()
            url = f"http://127.0.0.1:{port}/v2/models/{package.name}/infer"
            with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
                assert json.load(answer)["model_name"] == package.name
        finally:
            running.send_signal(signal.SIGINT)
            try:
                running.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)


def wait_for(url: str, running: subprocess.Popen[bytes]) -> int | None:
    """The status of a page as soon as there is one; `None` where the process ends, or after two minutes."""
    deadline = time.monotonic() + 120
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return int(answer.status)
        except OSError:
            time.sleep(0.5)
    return None
