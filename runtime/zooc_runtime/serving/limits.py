"""What a server accepts: each bound that keeps a stranger's request from harming the others."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "Refusal"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The bounds.

    Attributes:
        queue: images of a package that are accepted and not yet answered, at most; also of one request.
        seconds: the time for an answer, from the request's whole arrival, though the client may ask for less.
        body: bytes of a request's body.
        document: bytes of a request's JSON part, which is read in one go.
        bodies: bytes of all bodies that are held at once.
        pixels: of one image, as its file's header says and at each step of the preprocessing.
        connections: open at once.
        transfer: seconds that a client may take for a request's headers, for its body, and to take up an
            answer that it lets wait.
    """

    queue: int = 256
    seconds: float = 30.0
    body: int = 32 * _MIB
    document: int = 8 * _MIB
    bodies: int = 256 * _MIB
    pixels: int = 50_000_000
    connections: int = 1024
    transfer: float = 30.0


class Refusal(Exception):
    """An answer other than 200: HTTP's status code, and a message that names the place and the remedy.

    Args:
        status: HTTP's code.
        message: for the client.
        retry: seconds after which the client may try again, where that helps.
    """

    def __init__(self, status: int, message: str, retry: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = {} if retry is None else {"Retry-After": str(retry)}
