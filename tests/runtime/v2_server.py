"""A tiny server of the Open Inference Protocol for tests: it counts, stalls and misbehaves on demand."""

from __future__ import annotations

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

METADATA: dict[str, Any] = {
    "name": "tinybird",
    "inputs": [
        {"name": "pixels", "datatype": "UINT8", "shape": [-1, 3, 8, 8]},
        {"name": "encoded", "datatype": "BYTES", "shape": [-1]},
    ],
}


class V2Server(ThreadingHTTPServer):
    """`model` answers requests; `statuses` maps numbers of requests, from 0, to the status each shall get.

    Attributes:
        images: what was sent, request by request.
        problems: what in a request was not as the protocol has it.
        connections: how many were opened.
        stall: from which request on, and for how many seconds, all answers are held back.
        close_after: whether the server drops a connection, without saying so, behind each answer.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.metadata: Any = METADATA
        self.statuses: dict[int, int] = {}
        self.images: list[list[bytes]] = []
        self.shapes: list[list[int]] = []
        self.problems: list[str] = []
        self.connections = 0
        self.stall: tuple[int, float] | None = None
        self.close_after = False
        self._held_until = 0.0
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, images: list[bytes], shape: list[int]) -> int:
        with self._lock:
            number = len(self.images)
            self.images.append(images)
            self.shapes.append(shape)
            if self.stall and number == self.stall[0]:
                self._held_until = time.monotonic() + self.stall[1]
        time.sleep(max(self._held_until - time.monotonic(), 0))
        return self.statuses.get(number, 200)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: V2Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        known = self.path == "/v2/models/tinybird"
        self._send(200 if known else 404, self.server.metadata if known else {"error": "unknown model"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = int(self.headers["Inference-Header-Content-Length"])
        request = json.loads(body[:head])
        (entry,) = request["inputs"]
        images, rest = [], body[head:]
        if self.path != "/v2/models/tinybird/infer" or entry["datatype"] != "BYTES":
            self.server.problems.append(f"{self.path} {entry}")
        if entry["parameters"]["binary_data_size"] != len(rest) or entry["name"] != "encoded":
            self.server.problems.append(str(entry))
        while rest:
            (size,) = struct.unpack_from("<I", rest)
            images.append(rest[4 : 4 + size])
            rest = rest[4 + size :]
        status = self.server.answer(images, entry["shape"])
        self._send(status, {"outputs": []} if status == 200 else {"error": f"said {status}"})
        if self.server.close_after:
            self.close_connection = True

    def _send(self, status: int, content: Any) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def running() -> Iterator[V2Server]:
    server = V2Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
