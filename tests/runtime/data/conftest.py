"""Fixtures: the same few images in a folder and as every other source, and servers that hold them."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zooc_runtime.data import remote

CLASSES = 7
Members = list[tuple[str, bytes]]


def make_tar(path: Path, members: list[tuple[str, bytes]]) -> Path:
    """Write a tar file with these members in this order."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def make_zip(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip archive with these members in this order."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def make_parquet(path: Path, columns: dict[str, object], features: object = None, rows: int = 5) -> Path:
    """Write a Parquet file, with Hugging Face's features if given."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(columns)
    if features is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=rows)
    return path


@pytest.fixture(scope="session")
def tar_of() -> Callable[..., Path]:
    """Give `make_tar`."""
    return make_tar


@pytest.fixture(scope="session")
def zip_of() -> Callable[..., Path]:
    """Give `make_zip`."""
    return make_zip


@pytest.fixture(scope="session")
def parquet_of() -> Callable[..., Path]:
    """Give `make_parquet`."""
    return make_parquet


@pytest.fixture(scope="session")
def members() -> list[tuple[str, bytes]]:
    """`c0/0.png` and so on: two images in each of seven class folders, by name."""
    random = np.random.default_rng(1)
    found = []
    for index in range(2 * CLASSES):
        data = io.BytesIO()
        pixels = random.integers(0, 256, (9 + index % 3, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(data, "PNG")
        found.append((f"c{index // 2}/{index:02d}.png", data.getvalue()))
    return found


@pytest.fixture(scope="session")
def forms(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[str, bytes]]
) -> dict[str, Path | str]:
    """The images by their form: `folder`, `pattern`, `tar`, `shards`, `zip`, `list`, `parquet`."""
    root = tmp_path_factory.mktemp("forms")
    folder = root / "val"
    for name, content in members:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    samples = [
        one
        for index, (name, content) in enumerate(members)
        for one in ((f"{index:04d}.png", content), (f"{index:04d}.cls", name[1].encode()))
    ]
    make_tar(root / "val-0000.tar", samples[:12])
    make_tar(root / "val-0001.tar", samples[12:])
    (root / "val.txt").write_text("".join(f"val/{name} {name[1]}\n" for name, _ in members))
    found: dict[str, Path | str] = {
        "folder": folder,
        "pattern": f"{folder}/**/*.png",
        "tar": make_tar(root / "val.tar", members),
        "shards": f"{root}/val-{{0000..0001}}.tar",
        "zip": make_zip(root / "val.zip", members),
        "wrapped": make_zip(root / "wrapped.zip", [(f"some/val/{name}", data) for name, data in members]),
        "list": f"list:{root / 'val.txt'}",
    }
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return found
    images = [{"bytes": content, "path": name[3:]} for name, content in members]
    found["parquet"] = make_parquet(
        root / "val.parquet", {"image": images, "label": [int(name[1]) for name, _ in members]}
    )
    return found


class _Ranges(SimpleHTTPRequestHandler):
    """The standard library's server with ranges and entity tags, and failures on demand."""

    protocol_version = "HTTP/1.1"
    ranges = True
    failures: list[int] = []  # noqa: RUF012 - the tests' own
    silent = threading.Event()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.silent.is_set():
            self.silent.wait(0)
            threading.Event().wait(3)
        if self.failures:
            self.send_error(self.failures.pop())
            return
        path, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not (self.ranges and wanted and path.is_file()):
            super().do_GET()
            return
        first, last = wanted.removeprefix("bytes=").split("-")
        content = path.read_bytes()
        part = content[int(first) : int(last or len(content)) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses and limits."""
    monkeypatch.setattr(remote, "PAUSE_S", 0.01)
    monkeypatch.setattr(remote, "LIMIT_S", 1.0)


Serve = Callable[[Path], tuple[str, type[_Ranges]]]


@pytest.fixture
def serve(quick: None) -> Iterator[Serve]:
    """Serve a folder over HTTP on a port of its own; gives the address and the handler, for failures."""
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    servers: list[ThreadingHTTPServer] = []

    def start(folder: Path) -> tuple[str, type[_Ranges]]:
        handler = type("Handler", (_Ranges,), {"failures": [], "silent": threading.Event()})
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign] - readers that have seen enough
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def bucket(forms: dict[str, Path | str]) -> Iterator[str]:
    """`s3://val-images`, held by moto in this process, with everything that `forms` has."""
    for needed in ("moto.server", "s3fs", "boto3"):
        pytest.importorskip(needed, reason=f"{needed} is not installed", exc_type=ImportError)
    import boto3
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "hush",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="val-images")
        root = Path(forms["folder"]).parent
        for path in root.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "val-images", path.relative_to(root).as_posix())
        yield "s3://val-images"
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()
