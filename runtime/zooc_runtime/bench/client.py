"""A client of the Open Inference Protocol (KServe v2) over HTTP that sends encoded images.

An image is an element of a BYTES tensor, sent by the binary tensor data extension: the request's JSON, whose
length is in the header `Inference-Header-Content-Length`, then each element as its length (4 bytes, little
endian) and its bytes. Sources: `specification/protocol/inference_rest.md` in
github.com/kserve/open-inference-protocol, and `docs/protocol/extension_binary_data.md` in
github.com/triton-inference-server/server.
"""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Sequence
from socket import gaierror
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from ..errors import PackageError
from .job import Server

__all__ = ["ANSWERED", "EXPIRED", "REFUSED", "Client", "check_url"]

ANSWERED: Literal["answered"] = "answered"
REFUSED: Literal["refused"] = "refused"
EXPIRED: Literal["expired"] = "expired"
_OUTCOMES = {200: ANSWERED, 429: REFUSED, 503: REFUSED, 504: EXPIRED}


class Client:
    """One connection, kept alive, opened when first used and again when it was lost.

    Args:
        server: whom to ask.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        parts = urlsplit(server.url)
        connection = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = connection(parts.hostname or "", parts.port, timeout=server.timeout)
        self._path = (
            f"{parts.path.rstrip('/')}/v2/models/{quote(server.model, safe='', errors='surrogateescape')}"
        )
        self._input: dict[str, Any] = {}

    def find_input(self) -> None:
        """Ask the server which of the model's inputs takes encoded images.

        Raises:
            PackageError: there is no such server, no such model, or no such input.
        """
        url, model = self._server.url, self._server.model
        try:
            status, body = self._exchange("GET", self._path, None, {})
        except (OSError, http.client.HTTPException) as error:
            raise PackageError(
                f"{url}: {kind_of(error)}; start the server, or check the address that --url names"
            ) from None
        if status != 200:
            raise PackageError(
                f'{url}: the metadata of model "{model}" cannot be had (HTTP {status}{_complaint(body)}); '
                "name a model that this server has with --model"
            )
        try:
            inputs = [one for one in json.loads(body)["inputs"] if one["datatype"] == "BYTES"]
            found = [{"name": str(one["name"]), "rank": len(one["shape"])} for one in inputs]
        except (ValueError, TypeError, KeyError):
            raise PackageError(
                f'{url}: what is there speaks no Open Inference Protocol: no metadata of "{model}"; '
                "check the address that --url names"
            ) from None
        if not found:
            raise PackageError(
                f'{url}: model "{model}" has no input of datatype BYTES, which encoded images need; '
                "name another model with --model"
            )
        self._input = found[0]

    def another(self) -> Client:
        """Return a client of the same server and input, with a connection of its own."""
        other = Client(self._server)
        other._input = self._input
        return other

    def check(self, images: Sequence[bytes]) -> None:
        """Send one request, and refuse to measure a server that calls it malformed.

        Raises:
            PackageError: with what the server says.
        """
        try:
            status, body = self._infer(images)
        except (OSError, http.client.HTTPException) as error:
            raise PackageError(f"{self._server.url}: {kind_of(error)} while it answers one request") from None
        if status not in _OUTCOMES:
            raise PackageError(
                f'{self._server.url}: model "{self._server.model}" does not take {len(images)} encoded '
                f"image(s) (HTTP {status}{_complaint(body)})"
            )

    def infer(self, images: Sequence[bytes]) -> str:
        """Send a request of encoded images and wait for its answer.

        Returns:
            `ANSWERED`, `REFUSED` (429, 503), `EXPIRED` (504), or the kind of error: `HTTP 500`, `timed out`.
        """
        try:
            status, _ = self._infer(images)
        except (OSError, http.client.HTTPException) as error:
            return kind_of(error)
        return _OUTCOMES.get(status, f"HTTP {status}")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _infer(self, images: Sequence[bytes]) -> tuple[int, bytes]:
        tensor = b"".join(len(image).to_bytes(4, "little") + image for image in images)
        entry = {
            "name": self._input["name"],
            "shape": [len(images), *[1] * (self._input["rank"] - 1)],
            "datatype": "BYTES",
            "parameters": {"binary_data_size": len(tensor)},
        }
        head = json.dumps({"inputs": [entry], "parameters": {"binary_data_output": True}}).encode()
        headers = {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(len(head)),
        }
        return self._exchange("POST", f"{self._path}/infer", head + tensor, headers)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        """Status and body; once more over a new connection if a kept one turns out to be closed."""
        kept = self._connection.sock is not None
        try:
            return self._once(method, path, body, headers)
        except (ConnectionResetError, BrokenPipeError):
            if not kept:
                raise
        return self._once(method, path, body, headers)

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except BaseException:
            self._connection.close()
            raise


def check_url(text: str) -> str:
    """Return the address of a server.

    Raises:
        ValueError: it is not like `http://host:port`; the text says so.
    """
    try:
        parts = urlsplit(text)
        fit = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")
    except ValueError:
        fit = False
    if not fit or parts.query or parts.fragment or parts.username is not None or not _plain(text, parts.path):
        raise ValueError(f"{text!r} is not the address of a server like http://127.0.0.1:8000")
    return text


def _plain(text: str, path: str) -> bool:
    """Whether a request can name it as it is."""
    return path.isascii() and text.isprintable() and " " not in text


def kind_of(error: OSError | http.client.HTTPException) -> str:
    """Return a failure in few words that are equal for equal causes."""
    kinds: tuple[tuple[type[BaseException], str], ...] = (
        (TimeoutError, "timed out"),
        (ConnectionRefusedError, "connection refused"),
        (ConnectionError, "connection lost"),
        (gaierror, "unknown host"),
        (ssl.SSLError, "no TLS"),
        (http.client.IncompleteRead, "connection lost"),
        (http.client.HTTPException, "no HTTP"),
    )
    for kind, words in kinds:
        if isinstance(error, kind):
            return words
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def _complaint(body: bytes) -> str:
    """What a server's error says, if it is the protocol's `{"error": text}`."""
    try:
        text = json.loads(body)["error"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f": {text[:200]}" if isinstance(text, str) else ""
