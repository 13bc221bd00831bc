"""What Prometheus reads at `/metrics`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from ..inference.stamps import STAGES, Stamps

__all__ = ["Metrics"]

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The server's counters. Labels are names of packages, codes and stages, never a client's strings."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._stages: dict[str, dict[str, Histogram]] = {}
        registry = self._registry
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "zooc_requests", "Requests by HTTP status.", ["model", "code"], registry=registry
        )
        self._errors = Counter(
            "zooc_errors",
            "Requests that were not answered, by reason.",
            ["model", "reason"],
            registry=registry,
        )
        self._latency = Histogram(
            "zooc_request_seconds",
            "From a request's arrival to its answer.",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._stage = Histogram(
            "zooc_stage_seconds",
            "What an image spends in each stage.",
            ["model", "stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._batch = Histogram(
            "zooc_batch_images",
            "Images that went through the network together.",
            ["model"],
            buckets=_IMAGES,
            registry=registry,
        )
        self._depth = Gauge(
            "zooc_queue_images", "Images accepted and not yet answered.", ["model"], registry=registry
        )

    def watch(self, model: str, depth: Callable[[], int]) -> None:
        """Report `depth()` as the length of a package's queue."""
        self._depth.labels(model).set_function(depth)
        self._stages[model] = {stage: self._stage.labels(model, stage) for stage in STAGES}

    def request(self, model: str, code: int, seconds: float, reason: str | None = None) -> None:
        """Count one request that ended with HTTP's `code` after so long."""
        self._requests.labels(model, str(code)).inc()
        if reason is not None:
            self._errors.labels(model, reason).inc()
        self._latency.labels(model).observe(seconds)

    def images(self, model: str, stamps: Sequence[Stamps]) -> None:
        """Count the stages of answered images."""
        stages = self._stages[model]
        for one in stamps:
            for stage, seconds in one.seconds.items():
                stages[stage].observe(seconds)
            if one.leads:
                self._batch.labels(model).observe(one.batch)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self._registry)
