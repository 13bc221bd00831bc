"""The page at `/`: images are tried on it by hand. One file, nothing fetched from elsewhere."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .body import Bodies
from .limits import Refusal
from .served import Served

__all__ = ["page_routes"]

_AT_ONCE = 2
"""Images that are shown as the network sees them at the same time; the rest is refused."""

Handler = Callable[[Request], Awaitable[Response]]


def page_routes(
    served: Mapping[str, Served], bodies: Bodies, guarded: Callable[[Handler], Handler]
) -> list[Route]:
    """Return the page's paths: `/`, `/page/models`, and `/page/models/NAME/pixels`."""
    html = Path(__file__).with_name("page.html").read_bytes()
    headers = {
        "Content-Security-Policy": _policy(html.decode("utf-8")),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    models = json.dumps([_described(one) for one in served.values()]).encode()
    busy = 0

    async def page(_: Request) -> Response:
        return Response(html, media_type="text/html", headers=headers)

    async def show_models(_: Request) -> Response:
        return Response(models, media_type="application/json")

    async def pixels(request: Request) -> Response:
        nonlocal busy
        one = served.get(request.path_params["model"])
        if one is None:
            raise Refusal(404, "no such model")
        if busy >= _AT_ONCE:
            raise Refusal(429, "other images are being shown; try again", retry=1)
        busy += 1
        try:
            async with bodies.read(request) as body:
                png = await asyncio.to_thread(one.pixels, bytes(body))
        finally:
            busy -= 1
        return Response(png, media_type="image/png", headers={"X-Content-Type-Options": "nosniff"})

    return [
        Route("/", guarded(page)),
        Route("/page/models", guarded(show_models)),
        Route("/page/models/{model}/pixels", guarded(pixels), methods=["POST"]),
    ]


def _described(one: Served) -> dict[str, Any]:
    manifest = one.model.manifest
    return {
        "name": one.name,
        "version": one.version,
        "source": manifest["model"]["source"],
        "dtype": manifest["quantization"]["dtype"],
        "engine": one.model.engine,
        "image": one.interface.inputs[0].datatype == "BYTES",
        "heads": [
            {
                "name": head.name,
                "output": f"{head.name}.topk" if head.name else "topk",
                "classes": head.names,
                "threshold": head.threshold if head.multi_label else None,
            }
            for head in one.model.heads
            if not head.embeds
        ],
    }


def _policy(html: str) -> str:
    """A policy that allows the page's own script and style, by their hashes, and nothing else."""

    def hashes(tag: str) -> str:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
