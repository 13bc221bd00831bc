"""The benchmark's result: merged over the processes, as JSON and in vamp's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PackageError
from .job import STAGES, Job, Measurement

__all__ = ["bottleneck", "lines", "merge", "table"]

_ALWAYS = (50.0, 90.0, 95.0, 99.0)


def merge(
    jobs: Sequence[Job], measured: Sequence[Measurement], percentiles: Sequence[float]
) -> dict[str, Any]:
    """Return the result as the JSON document that `--json` prints.

    Throughput is images over the window from the earliest start to the latest end of all processes, warm-up
    excluded; times a stage are means over the requests, in microseconds. Latencies are those of the requests
    that were answered; a percentile is the latency of one of them, the least that so many do not exceed.

    Raises:
        PackageError: not one request was answered.
    """
    job = jobs[0]
    latencies = np.array([s for one in measured for s in one.latencies]) * 1e6
    window = max(one.end for one in measured) - min(one.start for one in measured)
    requests = len(latencies)
    load = _load(jobs, measured, requests / window)
    if not requests:
        raise PackageError(f"not one request was answered: {_lost(load) or 'none was due'}")
    wanted = sorted({*_ALWAYS, *percentiles})
    latency = {"avg": float(latencies.mean()), "min": float(latencies.min()), "max": float(latencies.max())}
    latency |= {f"p{p:g}": float(np.percentile(latencies, p, method="inverted_cdf")) for p in wanted}
    stages = {name: sum(one.stages[name] for one in measured) / requests * 1e6 for name in STAGES}
    served = job.server is not None
    overlap = job.mode == "end_to_end" or job.rate is not None
    return {
        "throughput_qps": requests * job.images_a_request / window,
        "latency_us": latency,
        "load": load,
        "mode": job.mode,
        "server": None if job.server is None else {"url": job.server.url, "model": job.server.model},
        "engine": None if served else measured[0].engine,
        "runs_on": measured[0].runs_on,
        "instances": job.instances,
        "processes": len(jobs),
        "batch_size": job.batch_size,
        "iterations": requests,
        "stages_us": stages,
        "load_ms": max(one.load for one in measured) * 1e3,
        "peak_memory_mb": sum(one.memory_mb for one in measured),
        "device": None if served else str(job.placement) or "0",
        "queue_size": job.queue_size,
        "shape": None if job.mode == "end_to_end" or (served and job.files) else list(job.shape),
        "threads": None if served else job.threads,
        "warmup": job.warmup,
        "duration_s": window,
        "bottleneck": None if served else bottleneck(None if overlap else latency["avg"], stages),
    }


def _load(jobs: Sequence[Job], measured: Sequence[Measurement], answered: float) -> dict[str, Any]:
    """What was asked and what became of it; rates in requests a second."""
    errors = Counter[str]()
    for one in measured:
        errors.update(one.errors)
    lost = {name: sum(getattr(one, name) for one in measured) for name in ("refused", "expired", "unsent")}
    requests = sum(len(one.latencies) for one in measured) + sum(lost.values()) + errors.total()
    rate = None if jobs[0].rate is None else sum(job.rate or 0 for job in jobs)
    return {"rate": rate, "answered_rate": answered, "requests": requests, **lost, "errors": dict(errors)}


def _lost(load: dict[str, Any]) -> str:
    """The requests that were not answered, by what became of them."""
    counts = {"refused": load["refused"], "expired": load["expired"], "not sent": load["unsent"]}
    return ", ".join(f"{count} {name}" for name, count in {**counts, **load["errors"]}.items() if count)


def bottleneck(latency: float | None, stages: dict[str, float]) -> str:
    """Return one line that names where most time goes.

    Args:
        latency: a request's mean latency, in microseconds; `None` where requests overlap and wait by design.
        stages: the mean time in each stage.
    """
    total = sum(stages.values()) if latency is None else latency
    waiting = max(total - sum(stages.values()), 0.0)
    name, spent = max([*stages.items(), ("queue", waiting)], key=lambda item: item[1])
    share = f"{100 * spent / total:.0f} %" if total else "0 %"
    advice = {
        "decode": "send smaller files, read from a faster disk, or compile with `Decode(scaled)`",
        "prelude": "send smaller images",
        "body": "more cores, or int8 and a faster engine",
        "postlude": "compile without softmax",
        "queue": "a shorter queue lowers the latency; more streams or cores raise the throughput",
    }
    return f"{name} ({share} of the {'work' if latency is None else 'mean latency'}; {advice[name]})"


def lines(result: dict[str, Any], percentiles: Sequence[float]) -> list[str]:
    """Return the result in vamp's words, and below them what vamp does not tell."""
    latency, load, server = result["latency_us"], result["load"], result["server"]
    total = result["instances"] * result["processes"]
    out = [
        f"- number of instances: {total}",
        f"  devices: [ {result['device']} ]"
        if server is None
        else f"  server: {server['url']}, {server['model']}",
        f"  queue size: {result['queue_size']}",
        f"  batch size: {result['batch_size']}",
        f"  throughput (qps): {result['throughput_qps']:.2f}",
    ]
    if load["rate"] is not None:
        out += [f"  requests a second: {load['rate']:g} arrived, {load['answered_rate']:.2f} answered"]
    if load["rate"] is not None or server is not None:
        out += [f"  not answered: {_lost(load) or 'none'}"]
    out += ["  latency (us):"]
    names = ["avg", "min", "max", *(f"p{p:g}" for p in percentiles)]
    out += [f"    {name} latency: {latency[name]:.0f}" for name in names]
    ran = f"  requests: {result['iterations']} in {result['duration_s']:.2f} s"
    if server is not None:
        return [*out, ran]
    out += [
        f"  engine: {result['engine']} ({result['threads']} threads a stream, "
        f"{result['processes']} processes of {result['instances']} streams)",
        f"  runs on: {', '.join(map(_share, result['runs_on'].items()))}",
        ran,
        f"  load time (ms): {result['load_ms']:.0f}",
        "  stages (us a request):",
    ]
    out += [f"    {name}: {spent:.0f}" for name, spent in result["stages_us"].items() if spent]
    memory = result["peak_memory_mb"]
    out += [f"  peak memory (MiB): {memory:.0f}" if memory else "  peak memory (MiB): unknown on this system"]
    out += [f"  bottleneck: {result['bottleneck']}"]
    return out


def table(results: Sequence[dict[str, Any]], percentiles: Sequence[float]) -> list[str]:
    """Return one line a rate: requests a second that arrived and were answered, latencies, what was lost."""
    names = [*(f"p{p:g}" for p in percentiles), "max"]
    rows = [["rate", "answered", *(f"{name} (ms)" for name in names), "not answered"]]
    for one in results:
        load, latency = one["load"], one["latency_us"]
        times = [f"{latency[name] / 1e3:.2f}" for name in names]
        rows += [[f"{load['rate']:g}", f"{load['answered_rate']:.2f}", *times, _lost(load) or "none"]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([*map(str.rjust, row[:-1], widths), row[-1]]) for row in rows]


def _share(one: tuple[str, int | None]) -> str:
    """A provider or device, with how many of the network's nodes it runs."""
    name, nodes = one
    return name if nodes is None else f"{name} ({nodes} nodes)"
