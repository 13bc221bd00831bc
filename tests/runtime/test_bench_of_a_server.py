"""The benchmark of a server that speaks the Open Inference Protocol."""

from __future__ import annotations

import importlib.util
import io
import json
import socket
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from zooc_runtime import PackageError
from zooc_runtime.bench.command import add_arguments, run

Bench = Callable[..., dict[str, Any]]


def _v2_server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("v2_server", Path(__file__).with_name("v2_server.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["v2_server"] = module
    spec.loader.exec_module(module)
    return module


v2 = _v2_server()


@pytest.fixture
def server() -> Iterator[Any]:
    with v2.running() as running:
        yield running
    assert running.problems == []


def _options(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def bench(package: Path, server: Any, capsys: pytest.CaptureFixture[str]) -> Bench:
    def call(*arguments: str | Path) -> dict[str, Any]:
        given = ("--json", "--warmup", "0", "--url", server.url, *map(str, arguments))
        assert run(package, _options(*given)) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    return call


def test_coordinated_omission_is_gone(bench: Bench, server: Any) -> None:
    """The server answers nothing for a second, once: all 100 requests of that second waited, not one."""
    server.stall = (60, 1.0)
    closed = bench("--iterations", "300")
    assert closed["latency_us"]["max"] > 0.95e6 and closed["latency_us"]["p99"] < 0.5e6
    server.images.clear()
    arriving = bench("--rate", "100", "--duration", "2.5")
    load, latency = arriving["load"], arriving["latency_us"]
    assert load["requests"] == arriving["iterations"] and load["unsent"] == 0
    # Of those due in the second the first waited it out, the last not at all: uniform from 0 to 1 s.
    assert latency["p99"] > 0.9e6 and latency["p90"] > 0.5e6 and latency["p50"] < 0.5e6


def test_random_images_are_sent_in_the_size_asked_for(bench: Bench, server: Any) -> None:
    document = bench("--iterations", "5", "-s", "[3,20,30]", "-b", "2")
    assert document["mode"] == "served" and document["server"] == {"url": server.url, "model": "tinybird"}
    assert document["iterations"] == 5 and document["throughput_qps"] > 0
    assert server.shapes == [[2]] * 6
    assert all(len(images) == 2 for images in server.images)
    image = Image.open(io.BytesIO(server.images[0][0]))
    assert image.size == (30, 20) and image.format == "JPEG"
    assert document["engine"] is None and document["shape"] == [3, 20, 30]


def test_a_package_of_tensors_can_ask_a_server_too(
    pristine: Callable[..., Path], server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pristine(tensor=True), _options("--url", server.url, "--warmup", "0", "--iterations", "2"))
    assert "  not answered: none" in capsys.readouterr().out
    assert len(server.images) == 3


def test_files_are_sent_as_they_are_one_pass_over_the_folder(
    bench: Bench, server: Any, tmp_path: Path
) -> None:
    for number in range(3):
        Image.new("RGB", (9, 9 + number)).save(tmp_path / f"{number}.png")
    assert bench("--end-to-end", tmp_path, "--iterations", "6")["iterations"] == 6
    written = [path.read_bytes() for path in sorted(tmp_path.iterdir())]
    assert [image for (image,) in server.images] == [written[0], *written, *written]


def test_an_input_of_two_axes_gets_two(bench: Bench, server: Any) -> None:
    server.metadata = {"inputs": [{"name": "encoded", "datatype": "BYTES", "shape": [-1, 1]}]}
    bench("--iterations", "1", "-b", "3")
    assert server.shapes[-1] == [3, 1]


def test_connections_are_kept_alive(bench: Bench, server: Any) -> None:
    bench("-i", "3", "--warmup", "2", "--iterations", "30")
    assert server.connections == 3


def test_a_kept_connection_that_the_server_closed_is_no_error(bench: Bench, server: Any) -> None:
    server.close_after = True
    document = bench("--iterations", "20")
    assert document["iterations"] == 20 and document["load"]["errors"] == {}


@pytest.mark.parametrize("loop", [[], ["--rate", "500"]], ids=["closed", "rate"])
def test_refused_expired_and_failed_requests_are_told_apart(
    bench: Bench, server: Any, loop: list[str]
) -> None:
    # The first request is the check that the server takes images at all.
    server.statuses = {3: 429, 4: 503, 5: 504, 6: 500, 7: 500, 8: 400}
    document = bench(*loop, "--iterations", "40")
    load = document["load"]
    assert (load["refused"], load["expired"], load["errors"]) == (2, 1, {"HTTP 500": 2, "HTTP 400": 1})
    assert load["requests"] == 40 and document["iterations"] == 34


def test_requests_that_find_no_connection_and_no_place_are_not_sent(bench: Bench, server: Any) -> None:
    server.stall = (2, 0.4)
    load = bench("--rate", "200", "--duration", "0.6", "-i", "1", "--queue-size", "10")["load"]
    assert load["unsent"] > 20 and load["refused"] == 0


def test_a_server_that_takes_too_long_is_counted(bench: Bench, server: Any) -> None:
    server.stall = (5, 0.5)
    load = bench("--iterations", "8", "--timeout", "0.2")["load"]
    assert load["errors"].keys() == {"timed out"} and load["requests"] == 8


def test_a_server_that_answers_nothing_is_an_error(package: Path, server: Any) -> None:
    server.statuses = dict.fromkeys(range(1, 9), 503)
    with pytest.raises(PackageError, match="not one request was answered: 4 refused"):
        run(package, _options("--url", server.url, "--warmup", "0", "--iterations", "4"))


def test_two_processes_ask_it(bench: Bench, server: Any) -> None:
    document = bench("-p", "2", "--rate", "100", "--iterations", "21")
    assert document["load"]["requests"] == 21 and document["load"]["rate"] == 100


def test_the_words(package: Path, server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server.statuses = {3: 429}
    run(package, _options("--url", server.url, "--warmup", "0", "--iterations", "4"))
    out = capsys.readouterr().out
    assert f"  server: {server.url}, tinybird\n" in out and "  not answered: 1 refused\n" in out
    assert "engine" not in out and "stages" not in out


def test_another_model_is_asked_for_by_name(package: Path, server: Any) -> None:
    with pytest.raises(PackageError, match=r'metadata of model "big/bird" cannot be had \(HTTP 404: unknown'):
        run(package, _options("--url", server.url, "--model", "big/bird"))
    with pytest.raises(PackageError, match="HTTP 404"):
        run(package, _options("--url", server.url, "--model", "\udcff\u00e4"))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}]}, "no input of datatype BYTES"),
        ({"inputs": 3}, "speaks no Open Inference Protocol"),
        ([], "speaks no Open Inference Protocol"),
        (b"<html>", "speaks no Open Inference Protocol"),
        ({"inputs": [{"name": "x", "datatype": "BYTES"}]}, "speaks no Open Inference Protocol"),
    ],
    ids=str,
)
def test_an_unfit_server_is_refused(package: Path, server: Any, metadata: object, message: str) -> None:
    server.metadata = metadata
    with pytest.raises(PackageError, match=message):
        run(package, _options("--url", server.url))


def test_a_server_that_calls_the_request_malformed_is_refused(package: Path, server: Any) -> None:
    server.statuses = {0: 400}
    with pytest.raises(PackageError, match=r"does not take 1 encoded image\(s\) \(HTTP 400: said 400\)"):
        run(package, _options("--url", server.url))


def test_no_server_is_an_error(package: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(PackageError, match=f"{url}: connection refused; start the server"):
        run(package, _options("--url", url))


def test_an_unknown_host_is_an_error(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(PackageError, match=r"http://no\.such\.host: unknown host; start the server"):
        run(package, _options("--url", "http://no.such.host"))


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://a", "http://", "http://a:port", "http://a:99999", "http://a:0",
     "http://user@a", "http://a?x=1", "http://a/\n", "http://a..b", "http://a/b c", "http://a/\u00e4"],
)  # fmt: skip
def test_mistyped_addresses_are_named(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        _options(f"--url={url}")
    assert stop.value.code == 2
    assert "is not the address of a server like http://127.0.0.1:8000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--network-only"], "--network-only: a server is sent encoded images"),
        (["--engine", "openvino"], "--engine is the server's affair"),
        (["--threads", "2"], "--threads is the server's affair"),
        (["--hint", "latency"], "--hint is the server's affair"),
        (["-d", "GPU"], "--device is the server's affair"),
    ],
)
def test_options_of_the_engine_are_refused(package: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        run(package, _options("--url", "http://127.0.0.1:9", *arguments))


@pytest.mark.parametrize("text", ["0", "-1", "soon", "99999999999", "1e3"])
def test_mistyped_timeouts_are_named(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _options(f"--timeout={text}")
    assert "is not a positive number of seconds" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--model=x", "--timeout=3"])
def test_a_servers_options_need_a_server(package: Path, option: str) -> None:
    with pytest.raises(PackageError, match="is for a server; give --url with it"):
        run(package, _options(option))
