"""The application: the protocol's paths, metrics, and the page.

Every answer to a mistake is `{"error": message}`; a failure of ours is logged with its traceback and answered
with 500 and no detail.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from .answer import write_answer
from .body import Bodies
from .limits import Limits, Refusal
from .logs import LOG, log
from .metrics import Metrics
from .page import page_routes
from .request import read_request
from .served import Served
from .tracing import Tracing

__all__ = ["Application"]

_LENGTH = "Inference-Header-Content-Length"
_EXTENSIONS = ["binary_tensor_data", "classification", "model_repository"]
_REASONS = {
    429: "queue_full",
    503: "unavailable",
    504: "deadline",
    413: "too_large",
    408: "slow",
}

Handler = Callable[[Request], Awaitable[Response]]


class Application:
    """What the server does with each request.

    Args:
        served: the packages by name.
        version: of the zooc that made them.
        limits: what is accepted.
        tracing: where spans go.
        page: whether there is a page at `/`.
        access_log: whether to log every request, or failures only.

    Attributes:
        asgi: for an ASGI server.
        ready: whether the packages are warmed up, and the server does not end.
    """

    def __init__(
        self,
        served: Mapping[str, Served],
        version: str,
        limits: Limits,
        tracing: Tracing,
        *,
        page: bool = True,
        access_log: bool = False,
    ) -> None:
        self._served = served
        self._version = version
        self._limits = limits
        self._tracing = tracing
        self._access_log = access_log
        self._bodies = Bodies(limits)
        self._metrics = Metrics()
        self.ready = False
        for name, one in served.items():
            self._metrics.watch(name, lambda one=one: one.waiting)  # type: ignore[misc]
        routes = [
            *(Route(f"{path}/infer", self._guarded(self._infer), methods=["POST"]) for path in _MODEL),
            Route("/v2/health/live", self._guarded(self._live)),
            Route("/v2/health/ready", self._guarded(self._is_ready)),
            Route("/v2", self._guarded(self._server)),
            *(Route(f"{path}/ready", self._guarded(self._model_ready)) for path in _MODEL),
            *(Route(path, self._guarded(self._model)) for path in _MODEL),
            Route("/v2/repository/index", self._guarded(self._index), methods=["POST"]),
            Route("/metrics", self._guarded(self._show_metrics)),
        ]
        if page:
            routes += page_routes(served, self._bodies, self._guarded)
        self.asgi = Starlette(
            routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _no_such_path}
        )
        self.asgi.router.redirect_slashes = False

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        warming = asyncio.create_task(self._warm_up())
        yield
        self.ready = False
        warming.cancel()

    async def _warm_up(self) -> None:
        begin = time.monotonic()
        try:
            for one in self._served.values():
                await asyncio.to_thread(one.warm_up)
        except Exception:
            LOG.exception("warm-up failed; the server stays unready")
            return
        self.ready = True
        log(logging.INFO, "ready", models=list(self._served), seconds=round(time.monotonic() - begin, 3))

    def _guarded(self, handler: Handler) -> Handler:
        """The handler with its answers to mistakes, its log line and its metrics."""

        async def guarded(request: Request) -> Response:
            begin = time.monotonic()
            reason = error = None
            try:
                response = await handler(request)
            except Refusal as refusal:
                await self._bodies.discard(request)
                error = refusal.message
                reason = _REASONS.get(refusal.status, "bad_request")
                response = _json({"error": error}, refusal.status, refusal.headers)
                if refusal.status in (408, 413, 415):
                    response.headers["Connection"] = "close"  # its body may not have been read to the end
            except ClientDisconnect:
                reason = error = "disconnected"
                response = Response(status_code=400)
            except Exception:
                LOG.exception("internal error")
                reason = "internal"
                response = _json({"error": "internal error; the server's log has the details"}, 500)
            self._record(request, response.status_code, time.monotonic() - begin, reason, error)
            return response

        return guarded

    def _record(
        self, request: Request, status: int, seconds: float, reason: str | None, error: str | None
    ) -> None:
        asked = str(request.path_params.get("model", ""))
        model = asked if asked in self._served else ""
        if request.method == "POST":
            self._metrics.request(model, status, seconds, reason)
        if self._access_log or reason is not None:
            level = logging.INFO if reason is None else logging.WARNING
            fields = {"error": error} if error else {}
            client = request.client.host if request.client else None
            path = request.url.path[:200]
            log(
                level,
                "request",
                method=request.method,
                path=path,
                status=status,
                client=client,
                seconds=round(seconds, 6),
                **fields,
            )

    async def _infer(self, request: Request) -> Response:
        one = self._find(request)
        if not self.ready:
            raise Refusal(503, f"{one.name} is not ready yet; try again later", retry=1)
        with self._tracing.request(one.name, request.headers) as span:
            async with self._bodies.read(request) as body:
                asked = read_request(body, request.headers.get(_LENGTH), one.interface, self._limits)
                results, stamps = await one.infer(asked)
            self._tracing.stages(span, stamps)
        self._metrics.images(one.name, stamps)
        answer, length = write_answer(asked, one.name, one.version, results, stamps)
        if length is None:
            return Response(answer, media_type="application/json")
        return Response(answer, media_type="application/octet-stream", headers={_LENGTH: str(length)})

    async def _live(self, _: Request) -> Response:
        return _json({"live": True})

    async def _is_ready(self, _: Request) -> Response:
        return _json({"ready": self.ready}, 200 if self.ready else 503)

    async def _server(self, _: Request) -> Response:
        return _json({"name": "zooc", "version": self._version, "extensions": _EXTENSIONS})

    async def _model_ready(self, request: Request) -> Response:
        one = self._find(request)
        return _json({"name": one.name, "ready": self.ready}, 200 if self.ready else 503)

    async def _model(self, request: Request) -> Response:
        return _json(self._find(request).metadata())

    async def _index(self, _: Request) -> Response:
        state = "READY" if self.ready else "LOADING"
        return _json(
            [{"name": one.name, "version": one.version, "state": state} for one in self._served.values()]
        )

    async def _show_metrics(self, _: Request) -> Response:
        return Response(self._metrics.text(), media_type=self._metrics.content_type)

    def _find(self, request: Request) -> Served:
        name, version = request.path_params["model"], request.path_params.get("version")
        one = self._served.get(name)
        if one is None:
            raise Refusal(404, f'no model "{name[:80]}"; there is {", ".join(self._served)}')
        if version not in (None, one.version):
            raise Refusal(404, f'{name} has no version "{version[:80]}"; there is {one.version}')
        return one


_MODEL = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")


async def _no_such_path(request: Request, problem: Exception) -> Response:
    status = problem.status_code if isinstance(problem, HTTPException) else 500
    allowed = (problem.headers or {}) if isinstance(problem, HTTPException) else {}
    what = f"{request.method} is not for this path" if status == 405 else "no such path; see /v2"
    return _json({"error": what}, status, allowed)


def _json(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status, headers, "application/json")
