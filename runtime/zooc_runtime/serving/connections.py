"""Connections of strangers: bounded in number, in the size of their headers, and in how long they may dawdle.

uvicorn's protocol on httptools has no bound on headers, on the time that they take, and on an answer that
nobody takes up; it answers what is not HTTP in plain text, and drops the request of a client that has closed
its own direction. This class adds these.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .limits import Limits, Refusal

__all__ = ["CUT_OFF", "connection_class"]

CUT_OFF = "zooc.cut_off"
"""In a request's scope: the refusal of a body that has ended before it was whole."""

_HEADERS = 64 << 10
_LINGER = 1.0
"""Seconds in which a client may take up the answer to what ended its connection."""


def connection_class(limits: Limits) -> type[asyncio.Protocol]:
    """Return the class of a server's connections."""

    class Connection(_Connection):
        bounds = limits

    return Connection


class _Joined:
    """A transport that sends what is written in one turn of the loop at once.

    uvicorn writes an answer's head and body apart. Each send lets go of the interpreter's lock, and has to
    wait for it among the workers: half as many sends are as good as half the waiting.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._written:
            self._loop.call_soon(self._flush)
        self._written.append(data)

    def write_eof(self) -> None:
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        written, self._written = self._written, []
        if written and not self._transport.is_closing():
            self._transport.write(b"".join(written))


class _Connection(HttpToolsProtocol):
    bounds: Limits

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._in_headers = False
        self._ended = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", _Joined(transport, self.loop)))
        # asyncio does it where a socket names its protocol, which an accepted one does not: without it the
        # kernel may hold back the second part of an answer for 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await(self._headers_too_slow)
        if len(self.connections) > self.bounds.connections:
            self._end(503, f"more than {self.bounds.connections} connections; try again later", retry=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._in_headers = True
        self._header_bytes = 0
        self._await(self._headers_too_slow)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._await(self._body_too_slow)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._await(None)
        super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        begun = self._in_headers
        super().data_received(data)
        if begun and self._in_headers:  # the first piece is not counted: it may begin with another body
            self._header_bytes += len(data)
        if self._header_bytes > _HEADERS and not self._ended:
            self._end(431, f"the request's headers exceed {_HEADERS} bytes")

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """Answer a client that has closed its direction."""
        if self.cycle is None or self.cycle.response_complete:
            if self._in_headers and not self._ended:
                self._end(400, "the request ends within its headers")
            return None
        if self.cycle.more_body:
            self._cut_off(400, "the body is not whole: the connection ended before it")
        self.cycle.keep_alive = False
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(self.bounds.transfer, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()

    def send_400_response(self, msg: str) -> None:
        self._end(400, "this is no HTTP request")

    def _await(self, too_slow: Callable[[], None] | None) -> None:
        """What to do if the next step of a request does not come in time; `None` if none is awaited."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if too_slow is None else self.loop.call_later(self.bounds.transfer, too_slow)

    def _body_too_slow(self) -> None:
        if self.cycle.response_complete:  # it has been refused before its body was there
            self.transport.close()
            return
        self._cut_off(408, f"the body took more than {self.bounds.transfer:g} seconds to arrive")

    def _cut_off(self, status: int, message: str) -> None:
        """End the body where it is; the application refuses the request."""
        cast("dict[str, Any]", self.cycle.scope)[CUT_OFF] = Refusal(status, message)
        self.cycle.keep_alive = False
        self.cycle.more_body = False
        self.cycle.message_event.set()

    def _headers_too_slow(self) -> None:
        if not self._ended:
            self._end(408, f"the request's headers took more than {self.bounds.transfer:g} seconds")

    def _cancel_timers(self) -> None:
        for timer in (self._deadline, self._stalled):
            if timer is not None:
                timer.cancel()

    def _end(self, status: int, message: str, *, retry: bool = False) -> None:
        """Answer in place of the application, unless that is answering already, and close."""
        if self.cycle is None or self.cycle.response_complete:
            body = json.dumps({"error": message}).encode()
            again = "Retry-After: 1\r\n" if retry else ""
            head = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n{again}Connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        # Closed at once, the connection would be reset by what the client still sends, and the answer lost.
        self._ended = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._cancel_timers()
        self._deadline = self.loop.call_later(_LINGER, self.transport.close)
