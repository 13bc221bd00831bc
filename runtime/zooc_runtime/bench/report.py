"""The benchmark's result: merged over the processes, as JSON and in vamp's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .job import STAGES, Job, Measurement

__all__ = ["bottleneck", "lines", "merge"]

_ALWAYS = (50.0, 90.0, 95.0, 99.0)


def merge(
    jobs: Sequence[Job], measured: Sequence[Measurement], percentiles: Sequence[float]
) -> dict[str, Any]:
    """Return the result as the JSON document that `--json` prints.

    Throughput is images over the window from the earliest start to the latest end of all processes, warm-up
    excluded; times a stage are means over the requests, in microseconds.
    """
    job = jobs[0]
    latencies = np.array([s for one in measured for s in one.latencies]) * 1e6
    window = max(one.end for one in measured) - min(one.start for one in measured)
    requests = len(latencies)
    wanted = sorted({*_ALWAYS, *percentiles})
    latency = {"avg": float(latencies.mean()), "min": float(latencies.min()), "max": float(latencies.max())}
    latency |= {f"p{p:g}": float(np.percentile(latencies, p)) for p in wanted}
    stages = {name: sum(one.stages[name] for one in measured) / requests * 1e6 for name in STAGES}
    return {
        "throughput_qps": requests * job.images_a_request / window,
        "latency_us": latency,
        "mode": job.mode,
        "engine": measured[0].engine,
        "runs_on": measured[0].runs_on,
        "instances": job.instances,
        "processes": len(jobs),
        "batch_size": job.batch_size,
        "iterations": requests,
        "stages_us": stages,
        "load_ms": max(one.load for one in measured) * 1e3,
        "peak_memory_mb": sum(one.memory_mb for one in measured),
        "device": str(job.placement) or "0",
        "queue_size": job.queue_size,
        "shape": None if job.mode == "end_to_end" else list(job.shape),
        "threads": job.threads,
        "warmup": job.warmup,
        "duration_s": window,
        "bottleneck": bottleneck(None if job.mode == "end_to_end" else latency["avg"], stages),
    }


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
    latency = result["latency_us"]
    total = result["instances"] * result["processes"]
    out = [
        f"- number of instances: {total}",
        f"  devices: [ {result['device']} ]",
        f"  queue size: {result['queue_size']}",
        f"  batch size: {result['batch_size']}",
        f"  throughput (qps): {result['throughput_qps']:.2f}",
        "  latency (us):",
    ]
    names = ["avg", "min", "max", *(f"p{p:g}" for p in percentiles)]
    out += [f"    {name} latency: {latency[name]:.0f}" for name in names]
    out += [
        f"  engine: {result['engine']} ({result['threads']} threads a stream, "
        f"{result['processes']} processes of {result['instances']} streams)",
        f"  runs on: {', '.join(map(_share, result['runs_on'].items()))}",
        f"  requests: {result['iterations']} in {result['duration_s']:.2f} s",
        f"  load time (ms): {result['load_ms']:.0f}",
        "  stages (us a request):",
    ]
    out += [f"    {name}: {spent:.0f}" for name, spent in result["stages_us"].items() if spent]
    memory = result["peak_memory_mb"]
    out += [f"  peak memory (MiB): {memory:.0f}" if memory else "  peak memory (MiB): unknown on this system"]
    out += [f"  bottleneck: {result['bottleneck']}"]
    return out


def _share(one: tuple[str, int | None]) -> str:
    """A provider or device, with how many of the network's nodes it runs."""
    name, nodes = one
    return name if nodes is None else f"{name} ({nodes} nodes)"
