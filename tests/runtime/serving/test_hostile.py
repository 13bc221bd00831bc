"""Mistakes and attacks: each gets a 4xx with a message, and others are served as before."""

from __future__ import annotations

import http.client
import io
import json
import logging
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def others_are_unaffected(server: Any, support: Any, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After each attack a good request is answered, and no traceback was logged."""
    caplog.set_level(logging.WARNING)
    yield
    assert server.infer(support.json_of(support.jpeg()))[0] == 200
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def one(**changes: Any) -> dict[str, Any]:
    given = {"name": "image", "datatype": "UINT8", "shape": [1, 1, 3], "data": [1, 2, 3]}
    return {key: value for key, value in {**given, **changes}.items() if value is not ...}


def inputs(**changes: Any) -> dict[str, Any]:
    return {"inputs": [one(**changes)]}


BAD: dict[str, tuple[Any, str]] = {
    "no json": (b"{", "not JSON"),
    "not utf-8": (b'{"id": "\xff"}', "not JSON"),
    "nothing": (b"", "not JSON"),
    "deep": (b"[" * 100_000, "not JSON"),
    "not a number": (b'{"inputs": [{"data": [NaN]}]}', "NaN is no number"),
    "a list": (b"[]", "not a JSON object"),
    "no inputs": ({}, '"inputs" is not a list'),
    "inputs of numbers": ({"inputs": [1]}, '"inputs" is not a list of objects'),
    "empty inputs": ({"inputs": []}, "0 entries; give one input"),
    "two inputs": ({"inputs": [one(), one()]}, "2 entries; give one input"),
    "mistyped input": (inputs(name="imge"), 'did you mean "image"?'),
    "name that is no string": (inputs(name=["image"]), "no input"),
    "mistyped datatype": (inputs(datatype="UNT8"), "BYTES or UINT8 is expected"),
    "tensor for images": (inputs(datatype="FP32"), "BYTES or UINT8 is expected"),
    "no shape": (inputs(shape=...), '"shape" is not a list'),
    "negative": (inputs(shape=[-1, 1, 3]), '"shape" is not a list of positive'),
    "zero": (inputs(shape=[0, 1, 3]), '"shape" is not a list of positive'),
    "fractions": (inputs(shape=[1.0, 1, 3]), '"shape" is not a list of positive'),
    "huge": (inputs(shape=[2**31, 2**31, 3]), '"shape" is not a list of positive'),
    "beyond all numbers": (inputs(shape=[10**30, 1, 3]), '"shape" is not a list of positive'),
    "true": (inputs(shape=[True, 1, 3]), '"shape" is not a list of positive'),
    "two dimensions": (inputs(shape=[1, 3]), "[N, any, any, 3] is expected"),
    "four channels": (inputs(shape=[1, 1, 4], data=[1, 2, 3, 4]), "[N, any, any, 3] is expected"),
    "too few numbers": (inputs(data=[1]), "has 3 numbers, but 1 are given"),
    "a number": (inputs(data=7), "has 3 numbers, but 1 are given"),
    "256": (inputs(data=[1, 2, 256]), "whole numbers from 0 to 255"),
    "fractional pixels": (inputs(data=[1, 2, 0.5]), "whole numbers from 0 to 255"),
    "strings as pixels": (inputs(data=["1", "2", "3"]), "whole numbers from 0 to 255"),
    "ten to the thirty": (inputs(data=[1, 2, 10**30]), "whole numbers from 0 to 255"),
    "lists in lists": (inputs(data=[[[[[[[1]]]]]], 2, 3]), "whole numbers from 0 to 255"),
    "neither data": (inputs(data=...), 'either "data" or the parameter'),
    "both data": (inputs(parameters={"binary_data_size": 3}), 'either "data" or the parameter'),
    "size of minus one": (inputs(data=..., parameters={"binary_data_size": -1}), "not a whole number"),
    "size in words": (inputs(data=..., parameters={"binary_data_size": "3"}), "not a whole number"),
    "size without data": (inputs(data=..., parameters={"binary_data_size": 3}), "0 bytes follow"),
    "shared memory": (inputs(parameters={"shared_memory_region": "x"}), "shared memory is not supported"),
    "parameters in a list": (inputs(parameters=[1]), "is not an object"),
    "no base64": (inputs(datatype="BYTES", shape=[1], data=["%%%"]), "not base64"),
    "not ascii": (inputs(datatype="BYTES", shape=[1], data=["é"]), "not base64"),
    "bytes of numbers": (inputs(datatype="BYTES", shape=[1], data=[1]), "not a list of 1 strings"),
    "two strings for one": (inputs(datatype="BYTES", shape=[1], data=["", ""]), "not a list of 1 strings"),
    "an empty file": (inputs(datatype="BYTES", shape=[1], data=[""]), "the file is empty"),
    "no image": (inputs(datatype="BYTES", shape=[1], data=["aGVsbG8="]), "not an image"),
    "too small": (inputs(shape=[1, 1, 3]), "too small"),
    "mistyped output": ({**inputs(), "outputs": [{"name": "top_k"}]}, 'did you mean "topk"?'),
    "outputs of numbers": ({**inputs(), "outputs": 3}, '"outputs" is not a list'),
    "id of seven": ({**inputs(), "id": 7}, '"id" is not a string'),
    "a timeout in words": ({**inputs(), "parameters": {"timeout": "1s"}}, "microseconds"),
    "a negative timeout": ({**inputs(), "parameters": {"timeout": -1}}, "microseconds"),
    "timing of one": ({**inputs(), "parameters": {"timing": 1}}, "neither true nor false"),
    "binary of one": (
        {**inputs(), "outputs": [{"name": "topk", "parameters": {"binary_data": 1}}]},
        "neither true nor false",
    ),
    "half a class": (
        {**inputs(), "outputs": [{"name": "topk", "parameters": {"classification": 0.5}}]},
        "not a number of classes",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_mistake_is_named(server: Any, name: str) -> None:
    document, message = BAD[name]
    status, answer = server.infer(document)
    assert status == 400, answer
    assert message in answer["error"] and "Traceback" not in answer["error"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (inputs(shape=[200, 200, 3]), "40000 pixels, but at most 10000"),
        (inputs(shape=[65, 1, 1, 3]), "65 images, but at most 64"),
        (inputs(datatype="BYTES", shape=[2**31 - 1], data=[""]), "at most 64"),
    ],
)
def test_too_much_is_413(server: Any, document: Any, message: str) -> None:
    status, answer = server.infer(document)
    assert status == 413 and message in answer["error"]


@pytest.mark.parametrize(
    ("behind", "declared", "message"),
    [
        (struct.pack("<I", 99) + b"abc", 7, "says it has 99 bytes, but 3 are left"),
        (b"\1\0", 2, "do not hold the 1 elements"),
        (struct.pack("<I", 1) + b"ab", 6, "do not hold the 1 elements"),
        (b"abc", 7, "binary_data_size is 7, but 3 bytes follow"),
        (b"", 0, "do not hold the 1 elements"),
    ],
)
def test_binary_data_that_lies(server: Any, behind: bytes, declared: int, message: str) -> None:
    given = one(datatype="BYTES", shape=[1], data=..., parameters={"binary_data_size": declared})
    status, answer = server.infer({"inputs": [given]}, behind=behind)
    assert status == 400 and message in answer["error"]


@pytest.mark.parametrize("length", ["-1", "x", "9999999", "1e3", "²"])
def test_a_length_that_lies(server: Any, support: Any, length: str) -> None:
    headers = {support.LENGTH: length.encode("latin-1", "ignore").decode("latin-1")}
    status, _, body = server.ask("POST", "/v2/models/tinybird/infer", b"{}", headers)
    assert status == 400 and "Inference-Header-Content-Length" in json.loads(body)["error"]


def test_infinite_tensors(server: Any) -> None:
    shape = [1, 3, 8, 8]
    given = {"name": "input", "datatype": "FP32", "shape": shape, "parameters": {"binary_data_size": 768}}
    for number in (np.inf, np.nan):
        behind = np.full(shape, number, np.float32).tobytes()
        status, answer = server.infer({"inputs": [given]}, "tensors", behind)
        assert status == 400 and "infinite" in answer["error"]
    status, answer = server.infer({"inputs": [{**given, "parameters": {}, "data": [1e39] * 192}]}, "tensors")
    assert status == 400 and "beyond FP32" in answer["error"]


def test_scores_that_are_not_finite(server: Any, support: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = np.full((1, 7), np.nan, np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(server.models["tinybird"], "run_tensor", lambda tensor: nothing)
        status, answer = server.infer(support.json_of(support.jpeg()))
    assert status == 400 and "not finite" in answer["error"]


def _truncated(support: Any) -> bytes:
    return support.jpeg()[:300]


def _bomb(support: Any) -> bytes:
    """A PNG file of 30000 x 30000 pixels in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", size)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def _large(support: Any) -> bytes:
    file = io.BytesIO()
    support.picture(200, 200).save(file, "PNG")
    return file.getvalue()


def _npy_that_lies(support: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 3)}
    )
    return file.getvalue()


def _pickle(support: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{}], object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (_truncated, 400, "damaged or truncated"),
        (_bomb, 413, "pixels"),
        (_large, 413, "200 x 200 pixels are more than the 10000 allowed"),
        (_npy_that_lies, 400, "truncated or damaged"),
        (_pickle, 400, "not a plain array"),
    ],
)
def test_files_that_are_no_images(
    server: Any, support: Any, make: Callable[[Any], bytes], status: int, message: str
) -> None:
    found, answer = server.infer(support.json_of(make(support)))
    assert (found, message in answer["error"]) == (status, True), answer
    found, answer = server.infer(support.json_of(support.jpeg(), make(support)))
    assert found == status and answer["error"].startswith("image 1: ")


def test_what_is_not_there_is_404(server: Any, support: Any) -> None:
    for path in ("/v2/models/tinybirt", "/v2/models/tinybird/versions/2", "/v2/models/a%2Fb/infer", "/v3"):
        status, answer = server.get(path)
        assert status in (404, 405) and answer["error"]
    status, answer = server.infer(support.json_of(support.jpeg()), "tinybirt")
    assert status == 404 and "there is tinybird" in answer["error"]
    assert server.ask("POST", "/v2/models/tinybird/versions/9/infer", b"{}")[0] == 404


def test_a_body_of_100_megabytes_is_413(server: Any) -> None:
    status, headers, body = server.ask("POST", "/v2/models/tinybird/infer", bytes(100_000_000))
    assert status == 413 and "more than" in json.loads(body)["error"] and headers["Connection"] == "close"


def test_json_beyond_its_limit_is_413(server: Any) -> None:
    status, answer = server.infer(b'{"inputs": [' + b" " * (9 << 20))
    assert status == 413 and "binary tensor data extension" in answer["error"]


def test_compressed_bodies_are_415(server: Any) -> None:
    status, _, body = server.ask("POST", "/v2/models/tinybird/infer", b"xx", {"Content-Encoding": "gzip"})
    assert status == 415 and "compressed" in json.loads(body)["error"]


def _raw(server: Any, *pieces: bytes, shut: bool = False) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        if shut:
            connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


POST = b"POST /v2/models/tinybird/infer HTTP/1.1\r\nHost: x\r\n"


def test_half_closed_connections_are_answered(server: Any, support: Any) -> None:
    body = json.dumps(support.json_of(support.jpeg())).encode()
    whole = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
    assert _raw(server, whole, shut=True)[0] == 200
    status, answer = _raw(server, whole[:-10], shut=True)
    assert status == 400 and "the body is not whole" in json.loads(answer)["error"]
    chunked = POST + b'Transfer-Encoding: chunked\r\n\r\n5\r\n{"inp\r\n'
    status, answer = _raw(server, chunked, shut=True)
    assert status == 400 and "the body is not whole" in json.loads(answer)["error"]
    status, answer = _raw(server, POST, shut=True)
    assert status == 400 and "within its headers" in json.loads(answer)["error"]


def test_what_is_no_http_is_400(server: Any) -> None:
    status, answer = _raw(server, b"\x16\x03\x01 hello\r\n\r\n")
    assert status == 400 and json.loads(answer) == {"error": "this is no HTTP request"}
    assert _raw(server, POST + b"Content-Length: -5\r\n\r\n")[0] == 400
    assert _raw(server, POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")[0] == 400


def test_endless_headers_are_431(server: Any) -> None:
    status, answer = _raw(server, POST + b"X: ", *[b"a" * 40_000] * 10)
    assert status == 431 and "headers" in json.loads(answer)["error"]


def test_chunks_of_a_body_and_two_requests_in_one_packet(server: Any, support: Any) -> None:
    body = json.dumps(support.json_of(support.jpeg())).encode()
    chunks = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
    assert _raw(server, POST + b"Transfer-Encoding: chunked\r\n\r\n", chunks)[0] == 200
    twice = 2 * (POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(twice)
        answers = connection.makefile("rb")  # one buffer: both may come in one packet, too
        for _ in range(2):
            assert answers.readline().split()[1] == b"200"
            headers = http.client.parse_headers(answers)
            assert len(answers.read(int(headers["Content-Length"]))) > 100
