"""Request bodies: read within bounds of size, time, and memory in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.requests import ClientDisconnect, Request

from .connections import CUT_OFF
from .limits import Limits, Refusal

__all__ = ["Bodies"]

_DRAINED = 8
"""Times the largest body: what is read of a body that is refused, so that the client gets to its answer."""


class Bodies:
    """Reads bodies; all that are held at once share one budget of memory."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = limits.bodies

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytearray]:
        """Give a request's body while it is worked on.

        Raises:
            Refusal: 413 too large, 408 too slow, 400 cut off, 415 compressed, 503 too many at once.
        """
        taken = 0
        body = bytearray()
        try:
            if request.headers.get("content-encoding", "identity").lower() != "identity":
                raise Refusal(415, "compressed bodies are not taken; send it without Content-Encoding")
            declared = request.headers.get("content-length")
            if declared is not None:
                self._check_size(int(declared))
                taken = self._take(int(declared))
            async for piece in request.stream():
                self._check_size(len(body) + len(piece))
                if declared is None:
                    taken += self._take(len(piece))
                body += piece
            if (refusal := request.scope.get(CUT_OFF)) is not None:
                raise refusal
            yield body
        finally:
            self._free += taken

    async def discard(self, request: Request) -> None:
        """Read what a refused request goes on sending, up to a bound: a client reads no answer before."""
        if request.headers.get("expect", "").lower() == "100-continue":
            return

        async def drain() -> None:
            left = _DRAINED * self._limits.body
            async for piece in request.stream():
                left -= len(piece)
                if left < 0:
                    return

        with suppress(asyncio.TimeoutError, ClientDisconnect, RuntimeError):
            await asyncio.wait_for(drain(), min(self._limits.transfer, 10))

    def _check_size(self, size: int) -> None:
        if size > self._limits.body:
            raise Refusal(
                413,
                f"the body has more than {self._limits.body} bytes; send fewer or smaller images at a time",
            )

    def _take(self, size: int) -> int:
        if size > self._free:
            raise Refusal(503, "too many large requests at once; try again later", retry=1)
        self._free -= size
        return size
