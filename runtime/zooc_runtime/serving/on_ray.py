"""The server's application within Ray Serve, which has the processes, the connections and the scaling.

A replica loads the package and answers the same paths as `serve`. Deployments and their ingress:
https://docs.ray.io/en/latest/serve/api/doc/ray.serve.ingress.html
"""

from __future__ import annotations

import difflib
import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import PackageError
from .limits import Limits

__all__ = ["ray_application"]

_LOADING: Mapping[str, Callable[[Any], Any]] = {
    "engine": str,
    "device": str,
    "hint": str,
    "threads": int,
    "streams": int,
    "batch_size": int,
    "max_wait_us": float,
}
_LIMITS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "queue_size": ("queue", int),
    "timeout": ("seconds", float),
    "max_pixels": ("pixels", int),
}
"""Options of `serve` by the limits that they set."""


def ray_application(package: str, arguments: Mapping[str, object]) -> Any:
    """Return a bound deployment, which `serve run` and `ray.serve.run` take.

    Args:
        package: the name of the import package that this is part of; it is installed on every node.
        arguments: `serve`'s options by name, as text or as what they are: `engine`, `device`, `hint`,
            `threads`, `streams`, `batch_size`, `max_wait_us`, `queue_size`, `timeout`, `max_pixels`.

    Raises:
        PackageError: Ray Serve is not installed, or an option is unknown or no such value.
    """
    try:
        serve = importlib.import_module("ray.serve")
    except ImportError as problem:
        raise PackageError(
            f"Ray Serve is not installed ({problem}; the package's extra `ray`): "
            "pip install 'ray[serve]>=2.60'"
        ) from None
    loading, limits = _read(arguments)

    def build() -> Any:
        return _application(package, loading, limits)

    deployment = serve.deployment(
        serve.ingress(build)(),
        name=package,
        max_ongoing_requests=limits.queue,
        max_queued_requests=limits.queue,
    )
    return deployment.bind()


def _application(package: str, loading: Mapping[str, Any], limits: Limits) -> Any:
    """Load and warm up the package, within a replica; return the ASGI application."""
    from ..inference.model import open_package
    from .application import Application
    from .served import Served
    from .tracing import open_tracing

    # Where this module lies on the replica's own machine: PACKAGE/_runtime/serving/.
    model = open_package(Path(__file__).absolute().parents[2], **loading)
    one = Served(package, model, limits)
    application = Application({package: one}, str(model.manifest["zooc"]), limits, open_tracing(), page=False)
    one.warm_up()
    application.ready = True
    return application.asgi


def _read(arguments: Mapping[str, object]) -> tuple[dict[str, Any], Limits]:
    known = [*_LOADING, *_LIMITS]
    loading: dict[str, Any] = {"hint": "throughput"}
    limits: dict[str, Any] = {}
    for name, value in arguments.items():
        if name in _LOADING:
            loading[name] = _value(name, value, _LOADING[name])
        elif name in _LIMITS:
            field, kind = _LIMITS[name]
            limits[field] = _value(name, value, kind)
            if not 0 < limits[field] < math.inf:
                raise PackageError(f"{name}={value}: must be more than 0")
        else:
            near = difflib.get_close_matches(name, known, 1)
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise PackageError(f"{name}={value}: unknown option; {advice}")
    return loading, Limits(**limits)


def _value(name: str, value: object, kind: Callable[[Any], Any]) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise PackageError(f"{name}={value}: not a number") from None
