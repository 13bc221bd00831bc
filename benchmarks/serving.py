"""`serve` against `bench --end-to-end`, in one run and in turns; and a soak at twice the server's capacity.

    python benchmarks/serving.py build/demo/digits PHOTOS --clients 16 --seconds 10 --rounds 3
    python benchmarks/serving.py build/demo/digits PHOTOS --soak 10

The clients are one thread on plain sockets, on the same cores as the server; what they cost is printed, and
throughput is also given per second of processor time of the server (or the benchmark) alone. The soak sends
at twice the server's capacity, 1 % of it damaged files, and exits with 1 if a request gets no answer, if an
answer is not what it must be, or resident memory grows by more than 5 % after the first quarter.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from machine import machine

from zooc_runtime.data.image_folder import list_images
from zooc_runtime.package.manifest import Manifest, find_package

__all__ = ["main"]

_BAD = 0.01
_GROWTH = 1.05
_QUEUE = 64


@dataclass
class Tally:
    """What became of the requests."""

    codes: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0
    late: int = 0


class Client:
    """Connections that each have one request under way at most, driven by one thread."""

    def __init__(self, port: int, connections: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._idle: deque[_Connection] = deque()
        self._busy = 0
        for _ in range(connections):
            connection = _Connection(socket.create_connection(("127.0.0.1", port)))
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._idle.append(connection)

    def run(self, take: Callable[[], tuple[bytes, int]], seconds: float, rate: float | None = None) -> Tally:
        """Send for so long, then await what is under way.

        Args:
            take: gives a request and the status that it must have if it is accepted.
            seconds: how long to send.
            rate: requests a second; as fast as answers come by default.
        """
        tally = Tally()
        begin = time.monotonic()
        sent = 0
        while (now := time.monotonic()) < begin + seconds or self._busy:
            due = len(self._idle) if rate is None else int((now - begin) * rate) - sent
            if now >= begin + seconds:
                due = 0
            for _ in range(min(due, len(self._idle))):
                connection = self._idle.popleft()
                connection.send(*take())
                self._busy += 1
                sent += 1
            if rate is not None and due > 0 and not self._idle:
                tally.late += due
                sent += due  # what finds no connection is not sent later, in a burst
            for key, _ in self._selector.select(0.002 if rate else 1):
                if key.data.receive(tally):
                    self._busy -= 1
                    self._idle.append(key.data)
            if now > begin + seconds + 60:
                tally.lost += self._busy
                break
        return tally


class _Connection:
    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self._begin = 0.0
        self._wanted = 0

    def send(self, request: bytes, wanted: int) -> None:
        self._answer, self._wanted, self._begin = b"", wanted, time.monotonic()
        self.socket.sendall(request)

    def receive(self, tally: Tally) -> bool:
        """Take what is there; tell whether the answer is whole."""
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise SystemExit("the server closed a connection with a request under way")
        self._answer += piece
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return False
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return False
        status = int(head[9:12])
        tally.codes[status] += 1
        if status == 200:
            tally.seconds.append(time.monotonic() - self._begin)
        if status not in (self._wanted, 429) or (status == 429 and b"retry-after" not in head.lower()):
            tally.wrong.append(f"{status} for {self._wanted}: {body[:200]!r}")
        elif status != 200 and not json.loads(body)["error"]:
            tally.wrong.append(f"{status} without a message")
        return True


class Server:
    """`python -m PACKAGE serve` in a process of its own."""

    def __init__(self, package: Path, *options: str) -> None:
        command = [sys.executable, "-m", package.name, "serve", "--port", "0", *options]
        self._process = subprocess.Popen(command, cwd=package.parent, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        self.port = 0
        for line in self._process.stderr:
            if not line.startswith("{"):
                raise SystemExit(line)
            record = json.loads(line)
            if record["event"] == "listening":
                self.port = int(record["url"].rpartition(":")[2])
            if record["event"] == "ready":
                break
        self._log = subprocess.Popen(["cat"], stdin=self._process.stderr, stdout=subprocess.DEVNULL)

    @property
    def processor_seconds(self) -> float:
        """What the process has spent so far (Linux)."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_mb(self) -> float:
        """Its resident memory, MiB (Linux)."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def end(self) -> int:
        """Return its exit code."""
        self._process.terminate()
        code = self._process.wait(90)
        self._log.wait(10)
        return code


def compare(package: Path, photos: Path, clients: int, seconds: float, rounds: int) -> float:
    """Measure both in turns; return the median of the ratios of throughput."""
    server = Server(package)
    good = requests(package, photos)
    client = Client(server.port, clients)
    client.run(lambda: (random.choice(good), 200), 2)
    ratios, efficiencies = [], []
    for _ in range(rounds):
        bench, bench_cpu = end_to_end(package, photos, seconds)
        before, own = server.processor_seconds, time.process_time()
        tally = client.run(lambda: (random.choice(good), 200), seconds)
        served = tally.codes[200] / seconds
        cpu = server.processor_seconds - before
        own = time.process_time() - own
        if tally.wrong:
            raise SystemExit(tally.wrong[0])
        low, high = np.percentile(np.array(tally.seconds) * 1e3, [50, 99])
        per_cpu = tally.codes[200] / cpu
        print(
            f"bench {bench:8.1f} images/s ({bench_cpu:7.1f} a processor second)   "
            f"serve {served:8.1f} ({per_cpu:7.1f})   p50 {low:6.1f} ms   p99 {high:6.1f} ms   "
            f"clients {own / seconds:4.2f} cores"
        )
        ratios.append(served / bench)
        efficiencies.append(per_cpu / bench_cpu)
    print(
        f"serve / bench: {median(ratios):.3f} of the throughput, "
        f"{median(efficiencies):.3f} a processor second"
    )
    if server.end():
        raise SystemExit("the server did not end with 0")
    return median(ratios)


def end_to_end(package: Path, photos: Path, seconds: float) -> tuple[float, float]:
    """Images a second of `bench --end-to-end`, and those a second of processor time.

    The processor time of loading is measured by a run that is almost empty, and subtracted.
    """

    def run(*options: str) -> tuple[dict[str, float], float]:
        command = [
            sys.executable,
            "-m",
            package.name,
            "bench",
            "--end-to-end",
            str(photos),
            "--json",
            *options,
        ]
        before = os.times()
        done = subprocess.run(command, cwd=package.parent, capture_output=True, text=True, check=True)
        after = os.times()
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        return json.loads(done.stdout), spent

    _, loading = run("--iterations", "1")
    result, spent = run("--duration", str(seconds))
    throughput = float(result["throughput_qps"])
    return throughput, throughput * seconds / max(spent - loading, 1e-9)


def soak(package: Path, photos: Path, minutes: float) -> int:
    """Send at twice the capacity; return how much went wrong."""
    server = Server(package, "--queue-size", str(_QUEUE))
    good = requests(package, photos)
    damaged = [post(package, file[: len(file) // 3]) for file in files(photos)]
    closed = Client(server.port, 16).run(lambda: (random.choice(good), 200), 5)
    capacity = closed.codes[200] / 5
    client = Client(server.port, 2 * _QUEUE)

    def take() -> tuple[bytes, int]:
        return (random.choice(damaged), 400) if random.random() < _BAD else (random.choice(good), 200)

    print(f"capacity {capacity:.1f} images/s; {minutes:g} minutes at {2 * capacity:.1f} requests/s")
    codes: Counter[int] = Counter()
    sizes = [server.resident_mb]
    failures = late = 0
    seconds: list[float] = []
    for _ in range(20):
        tally = client.run(take, minutes * 3, 2 * capacity)
        codes += tally.codes
        late += tally.late
        failures += tally.lost + len(tally.wrong)
        seconds = [*seconds, *tally.seconds][-100_000:]
        sizes.append(server.resident_mb)
        for line in tally.wrong[:3]:
            print(line)
    low, high = np.percentile(np.array(seconds) * 1e3, [50, 99])
    print(f"answers by status: {dict(codes)}; not sent for want of a free connection: {late}")
    print(f"p50 {low:.1f} ms, p99 {high:.1f} ms; without an answer, or with a wrong one: {failures}")
    early, end = max(sizes[:6]), max(sizes[-5:])
    print(
        f"resident memory: {sizes[0]:.1f} MiB at first, {early:.1f} in the first quarter, "
        f"{end:.1f} at the end"
    )
    code = server.end()
    print(f"exit code {code}")
    return failures + (end > early * _GROWTH) + (code != 0)


def files(photos: Path) -> list[bytes]:
    """The first 200 images of a folder."""
    return [Path(path).read_bytes() for path in list_images(photos)[:200]]


def requests(package: Path, photos: Path) -> list[bytes]:
    """A request for each of these."""
    return [post(package, file) for file in files(photos)]


def post(package: Path, file: bytes) -> bytes:
    """One request, the file as it is."""
    name = Manifest(package)["name"]
    return (
        f"POST /v2/models/{name}/infer HTTP/1.1\r\nHost: localhost\r\nInference-Header-Content-Length: 0\r\n"
        f"Content-Length: {len(file)}\r\n\r\n"
    ).encode() + file


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=float, metavar="MINUTES")
    parser.add_argument("--least", type=float, default=0.0, help="exit with 1 below this ratio to bench")
    options = parser.parse_args()
    package, photos = find_package(options.package).resolve(), options.photos.resolve()
    for key, value in machine().items():
        print(f"{key}: {value}")
    if options.soak:
        return 1 if soak(package, photos, options.soak) else 0
    ratio = compare(package, photos, options.clients, options.seconds, options.rounds)
    return 1 if ratio < options.least else 0


if __name__ == "__main__":
    raise SystemExit(main())
