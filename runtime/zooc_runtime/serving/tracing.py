"""Traces by OpenTelemetry, where it is installed and its environment variables ask for them.

`OTEL_TRACES_EXPORTER` names the exporter (`otlp`, `console`, ...; `otlp` where only an endpoint is given).
The other variables count as its documentation has them:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from ..errors import PackageError
from ..inference.stamps import Stamps

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["Tracing", "open_tracing"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_EXPORTERS = "opentelemetry_traces_exporter"


class Tracing:
    """Spans of requests; does nothing without a tracer."""

    def __init__(self, tracer: Tracer | None = None, provider: Any = None) -> None:
        self._tracer = tracer
        self._provider = provider

    @contextmanager
    def request(self, model: str, headers: Mapping[str, str]) -> Iterator[Any]:
        """Surround a request with a span, within the client's trace if its headers name one."""
        if self._tracer is None:
            yield None
            return
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        name = f"infer {model}"
        with self._tracer.start_as_current_span(name, extract(headers), SpanKind.SERVER) as span:
            span.set_attribute("zooc.model", model)
            yield span

    def stages(self, span: Any, stamps: Sequence[Stamps]) -> None:
        """Add a span for each stage of each image to the request's."""
        if self._tracer is None or span is None or not span.is_recording():
            return
        offset = time.time() - time.monotonic()
        for one in stamps:
            moments = (one.submitted, one.begun, one.decoded, one.prepared, one.entered, one.answered)
            names = ("queue", "decode", "preprocess", "batch", "network")
            for name, begin, end in zip(names, moments, moments[1:], strict=False):
                child = self._tracer.start_span(name, start_time=int((begin + offset) * 1e9))
                if name == "network":
                    child.set_attribute("zooc.batch", one.batch)
                child.end(int((end + offset) * 1e9))

    def close(self) -> None:
        """Send what is not sent yet."""
        if self._provider is not None:
            self._provider.shutdown()


def open_tracing() -> Tracing:
    """Return what the environment asks for.

    Raises:
        PackageError: an exporter that is not installed.
    """
    asked = os.environ.get("OTEL_TRACES_EXPORTER") or (
        "otlp" if any(os.environ.get(name) for name in _ENDPOINTS) else "none"
    )
    names = [name.strip() for name in asked.split(",") if name.strip() not in ("", "none")]
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        return Tracing()
    if isinstance(trace.get_tracer_provider(), TracerProvider):  # opentelemetry-instrument has set it up
        return Tracing(trace.get_tracer("zooc"))
    if not names:
        return Tracing()
    provider = TracerProvider()
    for name in names:
        provider.add_span_processor(BatchSpanProcessor(_exporter(name)))
    return Tracing(provider.get_tracer("zooc"), provider)


def _exporter(name: str) -> Any:
    for entry in entry_points(group=_EXPORTERS, name=name):
        return entry.load()()
    known = ", ".join(sorted({entry.name for entry in entry_points(group=_EXPORTERS)})) or "none"
    raise PackageError(
        f'OTEL_TRACES_EXPORTER: no exporter "{name}" is installed (there: {known}); '
        "for otlp: pip install opentelemetry-exporter-otlp"
    )
