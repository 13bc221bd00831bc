"""What `tune` has measured on this machine, kept for `load`, and the settings that follow from it.

A tuning is valid for one package, CPU, number of cores and set of installed engines: all are in its key.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..package.manifest import Manifest
from ..support.user_cache import Damaged, key_of, read_entry, write_entry
from .cpu import cpu_flags, cpu_name
from .engines import choose_engine, installed_engines
from .placement import DEFAULT, Placement
from .settings import HINTS, Settings, default_settings

__all__ = ["Measured", "best", "choose_settings", "keep_tuning", "read_tuning"]

_KIND = "tuning"


@dataclass(frozen=True)
class Measured:
    """How the network runs with some settings, as measured for a hint.

    Attributes:
        hint: one of `HINTS`.
        settings: the settings.
        latency_ms: median time of a request of `settings.batch` images, in milliseconds.
        images_per_s: images a second of all streams together.
    """

    hint: str
    settings: Settings
    latency_ms: float
    images_per_s: float


def best(rows: Iterable[Measured]) -> Measured:
    """Return the row with the least latency or most images a second, whichever its hint asks for."""
    return min(rows, key=lambda row: row.latency_ms if row.hint == "latency" else -row.images_per_s)


def choose_settings(
    manifest: Manifest,
    cores: int,
    engine: str = "auto",
    hint: str | None = None,
    streams: int | None = None,
    threads: int | None = None,
    batch: int | None = None,
    placement: Placement = DEFAULT,
) -> Settings:
    """The best settings that were measured, as far as the arguments leave a choice; else the default ones.

    Without a hint only the engine is taken from the measurements, the one of least latency. Where nothing was
    measured here, `auto` is the engine that held the speed required by the description, if it requires any.

    Args:
        manifest: the package's.
        cores: those that the process may use.
        engine: one of `ENGINES`, or `auto`.
        hint: one of `HINTS`.
        streams: see `Settings`; what is given is kept, here and below.
        threads: see `Settings`.
        batch: see `Settings`.
        placement: see `Settings`; what was measured elsewhere does not count.

    Raises:
        PackageError: an unknown hint or engine, an engine not compiled for, or a number below 1.
    """
    measured = [
        row
        for row in read_tuning(manifest, cores)
        if engine in ("auto", row.settings.engine) and row.settings.placement == placement
    ]
    wanted = next((h for h in HINTS if hint in (h, None) and any(row.hint == h for row in measured)), None)
    rows = [row for row in measured if row.hint == wanted]
    given = (streams, threads, batch)
    fitting = [row for row in rows if _fits(row.settings, given)]
    if hint is not None and fitting:
        return best(fitting).settings
    required = None if rows or engine != "auto" or placement != DEFAULT else _required(manifest, hint)
    chosen = best(rows).settings.engine if rows else choose_engine(required or engine, manifest["engines"])
    return default_settings(chosen, cores, hint, streams, threads, batch, placement)


def _required(manifest: Manifest, hint: str | None) -> str | None:
    """The engine that held the speed which the package was compiled to have, if it is installed here."""
    required = manifest.data.get("speed", {})
    found = next((required[one] for one in HINTS if one in required and hint in (one, None)), None)
    engine = found and found["engine"]
    return engine if engine in installed_engines(manifest["engines"]) else None


def read_tuning(manifest: Manifest, cores: int) -> tuple[Measured, ...]:
    """What was measured for this package and machine; nothing, with a warning, if the record is damaged."""
    try:
        text = read_entry(_KIND, _key(manifest, cores))
    except Damaged as problem:
        warnings.warn(f"{problem} and is not used; measure again with tune", RuntimeWarning, stacklevel=2)
        return ()
    rows = json.loads(text)["measured"] if text else ()
    return tuple(Measured(**{**row, "settings": _settings(row["settings"])}) for row in rows)


def _settings(document: dict[str, Any]) -> Settings:
    return Settings(**{**document, "placement": Placement.from_json(document["placement"])})


def keep_tuning(manifest: Manifest, cores: int, rows: Sequence[Measured]) -> Path:
    """Replace the record; returns its file.

    Raises:
        PackageError: the cache folder cannot be written.
    """
    document = {
        "package": f"{manifest['name']} {manifest['version']}",
        "cpu": cpu_name(),
        "cores": cores,
        "engines": installed_engines(manifest["engines"]),
        "measured": [asdict(row) for row in rows],
    }
    return write_entry(_KIND, _key(manifest, cores), json.dumps(document, indent=2).encode())


def _key(manifest: Manifest, cores: int) -> str:
    versions = installed_engines(manifest["engines"])
    return key_of(3, manifest.sha256, cpu_name(), sorted(cpu_flags() or ()), cores, versions)


def _fits(settings: Settings, given: Sequence[int | None]) -> bool:
    measured = (settings.streams, settings.threads, settings.batch)
    return all(number in (None, one) for number, one in zip(given, measured, strict=True))
