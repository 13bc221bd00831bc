"""The server's process: its socket, its packages, its signals."""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType

import uvicorn

from ..errors import PackageError
from ..inference.model import Model
from .application import Application
from .connections import connection_class
from .limits import Limits
from .logs import log
from .served import Served
from .tracing import open_tracing

__all__ = ["listen", "serve"]

_SWITCH = 0.0005
"""Seconds that a worker may keep the interpreter's lock while the thread that serves waits for it; 0.005 is
Python's, and several of these waits make up a request."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def listen(host: str, port: int) -> socket.socket:
    """Take a port, of which 0 is any that is free.

    Raises:
        PackageError: it is taken or forbidden, or the host is no address of this machine.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise PackageError(
            f"--host {host}: not an address ({error}); give 127.0.0.1 for this machine alone, "
            "0.0.0.0 for the network"
        ) from None
    try:
        return socket.create_server(found[0][4][:2], family=found[0][0], backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PackageError(
                f"--port {port}: taken by another program; stop it, or choose another port"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise PackageError(
                f"--host {host}: not an address of this machine; give 127.0.0.1 or 0.0.0.0"
            ) from None
        raise PackageError(f"--port {port} on {host}: {error.strerror}; choose another port") from None


def serve(
    taken: socket.socket,
    models: Mapping[str, Model],
    limits: Limits,
    *,
    page: bool = True,
    access_log: bool = False,
    started: Callable[[uvicorn.Server], None] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; what is accepted then is still answered.

    Args:
        taken: the listening socket.
        models: the packages by name; closed at the end.
        limits: what is accepted.
        page: whether there is a page at `/`.
        access_log: whether to log every request, or failures only.
        started: called with the server before it runs; its `should_exit` ends it.
    """
    tracing = open_tracing()
    served = {name: Served(name, model, limits) for name, model in models.items()}
    version = str(next(iter(models.values())).manifest["zooc"])
    application = Application(served, version, limits, tracing, page=page, access_log=access_log)
    config = uvicorn.Config(
        application.asgi,
        http=connection_class(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=max(1, int(limits.transfer)),
        timeout_graceful_shutdown=int(limits.seconds + limits.transfer) + 1,
    )
    server = _Server(config)
    if started is not None:
        started(server)
    host, port = taken.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log(logging.INFO, "listening", url=f"http://{shown}:{port}", models=list(models))
    sys.setswitchinterval(_SWITCH)
    gc.freeze()  # packages live as long as the server: collections need not look at them
    server.run(sockets=[taken])
    for model in models.values():
        model.close()
    tracing.close()
    log(logging.INFO, "ended")


class _Server(uvicorn.Server):
    """uvicorn's server, which ends with exit code 0: its own raises the signal again that has ended it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End after what is accepted; a second Ctrl-C does not wait for it."""
        log(logging.INFO, "ending", signal=signal.Signals(sig).name)
        super().handle_exit(sig, frame)
