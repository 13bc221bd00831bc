"""One small Ray cluster on this machine for all tests of this folder, since Ray starts slowly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import zooc
import zooc_runtime

pytest.importorskip("ray")

from zooc_runtime.support.ray_workers import RayWorkers, connect


@pytest.fixture(scope="session")
def told() -> list[str]:
    """What the cluster's workers have told the user."""
    return []


@pytest.fixture(scope="session")
def cluster(told: list[str]) -> Iterator[RayWorkers]:
    """Two workers."""
    code = [Path(module.__file__ or "").parent for module in (zooc, zooc_runtime)]
    with connect("local", code, 2, told.append) as workers:
        yield workers
