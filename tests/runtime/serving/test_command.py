"""`python -m PACKAGE serve`: its options, its process, its end."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from zooc_runtime.commands.main import main
from zooc_runtime.package.manifest import MANIFEST

Serving = Callable[..., tuple[subprocess.Popen[str], int]]


@pytest.fixture
def serving(copied: Path) -> Iterator[Serving]:
    """Starts the command in a process of its own; gives it and its port once it is ready."""
    started = []

    def run(*options: str, **environment: str) -> tuple[subprocess.Popen[str], int]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tinybird", "serve", "--port", "0", "--engine", "onnxruntime", *options],
            cwd=copied.parent,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stderr
        port = 0
        for line in process.stderr:
            record = json.loads(line)
            if record["event"] == "listening":
                port = int(record["url"].rpartition(":")[2])
            if record["event"] == "ready":
                return process, port
        raise AssertionError("it ended before it was ready")

    yield run
    for process in started:
        process.kill()
        process.communicate()


def post(port: int, body: bytes) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Inference-Header-Content-Length": "0"}
    connection.request("POST", "/v2/models/tinybird/infer", body, headers)
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_what_was_accepted(
    serving: Serving, support: Any, number: signal.Signals
) -> None:
    """Batches wait half a second for more images, so that all requests are on their way when it comes."""
    process, port = serving("--batch-size", "64", "--max-wait-us", "500000", "--access-log")
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(post, port, support.jpeg(seed)) for seed in range(6)]
        until_waiting(port, 6)
        process.send_signal(number)
        assert [one.result()[0] for one in answers] == [200] * 6
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "")
    records = [json.loads(line) for line in err.splitlines()]
    assert [one["event"] for one in records if one["event"] != "request"] == ["ending", "ended"]
    assert sum(one["event"] == "request" and one["status"] == 200 for one in records) >= 6
    with pytest.raises(ConnectionError):
        post(port, b"")


def until_waiting(port: int, count: int) -> None:
    for _ in range(200):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        if f'zooc_queue_images{{model="tinybird"}} {count}.0' in text:
            return
        threading.Event().wait(0.01)
    pytest.fail("the requests did not arrive")


def test_a_second_package_beside_it_and_traces(serving: Serving, copied: Path, support: Any) -> None:
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        pytest.skip("opentelemetry-sdk is not installed")
    process, port = serving(f"other={copied}", OTEL_TRACES_EXPORTER="console", OTEL_BSP_SCHEDULE_DELAY="10")
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    parent = "0af7651916cd43dd8448eb211c80319c"
    connection.request(
        "POST",
        "/v2/models/other/infer",
        support.jpeg(),
        {"Inference-Header-Content-Length": "0", "traceparent": f"00-{parent}-b7ad6b7169203331-01"},
    )
    response = connection.getresponse()
    assert response.status == 200 and json.loads(response.read())["model_name"] == "other"
    connection.close()
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    spans = [json.loads(text) for text in out.replace("}\n{", "}\n\0{").split("\0")]
    assert {span["context"]["trace_id"] for span in spans} == {f"0x{parent}"}
    assert [span["name"] for span in spans] == [
        "queue",
        "decode",
        "preprocess",
        "batch",
        "network",
        "infer other",
    ]
    assert all(span["start_time"] <= span["end_time"] for span in spans)


def test_an_exporter_that_is_not_installed(
    copied: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    if importlib.util.find_spec("opentelemetry.sdk") is None:
        pytest.skip("opentelemetry-sdk is not installed")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "consol")
    assert main(copied, ["serve", "--port", "0", "--quiet"]) == 1
    assert 'no exporter "consol" is installed' in capfd.readouterr().err


@pytest.fixture
def refused(copied: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command says when it does not start, with its exit code before it."""

    def call(*options: str | Path) -> str:
        try:
            code = main(copied, ["serve", "--quiet", *map(str, options)])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return f"{code} {capsys.readouterr().err}"

    return call


def test_a_port_that_is_taken(refused: Callable[..., str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"1 error: --port {port}: taken by another program" in refused("--port", str(port))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "80x"], "'80x' is not a port"),
        (["--port", "65536"], "not a port from 0 to 65535"),
        (["--port", "-1"], "not a port"),
        (["--timeout", "0"], "not a number of seconds above 0"),
        (["--timeout", "soon"], "not a number of seconds"),
        (["--queue-size", "0"], "not a whole number of at least 1"),
        (["--max-wait-us", "-3"], "not a number of microseconds"),
        (["--prot", "8000"], "unrecognized arguments: --prot"),
        (["--hint", "speed"], "invalid choice: 'speed'"),
    ],
)
def test_mistyped_options(refused: Callable[..., str], options: list[str], message: str) -> None:
    told = refused(*options)
    assert told.startswith("2 ") and message in told


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "256.0.0.1.x"], "--host 256.0.0.1.x: not an address ("),
        (["--host", "192.0.2.1"], "--host 192.0.2.1: not an address of this machine"),
        (["--max-body", "64", "--max-bodies", "32"], "--max-bodies 32: less than --max-body 64"),
        (["--engine", "onnxrutime"], "onnxruntime"),
        (["nowhere"], "nowhere: no such folder, and no installed package"),
        (["json"], "json: installed, but not a package of zooc"),
        (["a/b=."], "'a/b' is no name"),
        (["other="], "other=: no package after the ="),
        (["."], "not a package of zooc"),
    ],
)
def test_what_cannot_be_served(
    refused: Callable[..., str], options: list[str], message: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(shutil.copytree(Path(__file__).parent, tmp_path / "elsewhere"))
    told = refused("--port", "0", *options)
    assert told.startswith("1 error: ") and message in told


def test_the_same_package_twice_needs_a_name(refused: Callable[..., str], copied: Path) -> None:
    told = refused("--port", "0", copied)
    assert told.startswith("1 error: ") and "tinybird is served already" in told and "other=" in told


def test_a_damaged_package_beside_it(refused: Callable[..., str], copied: Path, tmp_path: Path) -> None:
    other = shutil.copytree(copied, tmp_path / "damaged")
    (other / MANIFEST).write_text("{}")
    told = refused("--port", "0", f"other={other}")
    assert told.startswith("1 error: ") and "does not match" in told


def test_without_its_libraries_it_says_what_to_install(copied: Path) -> None:
    """The other commands work, and import none of them."""
    hide = (
        "import sys, importlib.util as u; real = u.find_spec; names = ('starlette', 'uvicorn')\n"
        "u.find_spec = lambda name, *rest: None if name in names else real(name, *rest)\n"
        "import tinybird._runtime.commands.main as m; from pathlib import Path\n"
        "assert m.main(Path('tinybird'), ['info', '--json']) == 0\n"
        "assert not {'starlette', 'uvicorn', 'prometheus_client', 'opentelemetry'} & set(sys.modules)\n"
        "sys.exit(m.main(Path('tinybird'), ['serve']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", hide], cwd=copied.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert (
        done.stderr.startswith("error: serve needs libraries") and "pip install 'starlette>=" in done.stderr
    )
