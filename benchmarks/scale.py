"""Ray workers against this process's threads, and what each image, worker and task costs.

    python benchmarks/scale.py DIGITS                    # overhead of 1, 2 and 4 workers, 2,000 images
    python benchmarks/scale.py DIGITS --kills 20         # workers are killed meanwhile: the same bits?
    python benchmarks/scale.py DIGITS --memory 20000     # memory of a worker, flat?
    python benchmarks/scale.py --tasks 5000              # many empty tasks on a simulated cluster

DIGITS is the folder of examples/digits with `data` made (make_dataset.py); its training images are cycled.
Calibration is measured: its results are the largest, and their equality is the strictest. The start of a
cluster is timed apart. Where other work runs, only processor time compares. Exits with 1 if a result differs
from that of one process, or if a worker's memory grows by more than 5 % in the second half of a run.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from zooc.calibration.cluster import ClusterCrew
from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.images import CalibrationImages
from zooc.cli.cluster import code_for_workers
from zooc.compilation import Request
from zooc.deployment import ImageSet
from zooc.pipeline.calibrate import prepare
from zooc.pipeline.context import Context
from zooc.pipeline.quantize import Int8Quantizer
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.support.ray_workers import connect
from zooc_runtime.support.workers import HERE, Workers

__all__ = ["main"]


class Watch(Progress):
    """Calls back at each report of progress with the number of images done."""

    def __init__(self, look: Any = lambda _done: None) -> None:
        self.look, self.done, self.first = look, 0, 0.0

    @contextmanager
    def track(self, _description: str, _total: int) -> Any:
        begin = time.monotonic()

        def advance(count: int) -> None:
            self.first = self.first or time.monotonic() - begin
            self.done += count
            self.look(self.done)

        yield advance


def cycled(source: Path, target: Path, count: int) -> Path:
    """A folder of `count` links to the images of another, in turn."""
    target.mkdir()
    images = sorted(source.rglob("*.jpg"))
    for index in range(count):
        (target / f"{index:07}.jpg").symlink_to(images[index % len(images)].absolute())
    return target


def prepared(description: Path) -> tuple[Int8Quantizer, Context]:
    """The network, ready to be calibrated, without a cache."""
    context = Context(Cache(None), Progress(), stop_before="emit")
    return prepare(Request(description), context), context


def calibrate(
    quantizer: Int8Quantizer, context: Context, images: CalibrationImages, workers: Workers, look: Any = None
) -> tuple[ActivationHistograms, float, float]:
    """Histograms, the seconds until the first images, and all seconds."""
    context.workers = workers
    context.progress = watch = Watch(look or (lambda _done: None))
    begin = time.monotonic()
    found = quantizer.measure(replace(images, skipped={}))
    return found, watch.first, time.monotonic() - begin


@contextmanager
def ray_of(cpus: int) -> Any:
    """So many workers, and the seconds that they took to start."""
    with ExitStack() as held:
        begin = time.monotonic()
        code = held.enter_context(code_for_workers())
        workers = held.enter_context(
            connect("local", code, cpus, modules=("numpy", "onnxruntime", "PIL", "onnx"))
        )
        yield workers, time.monotonic() - begin


def overhead(quantizer: Int8Quantizer, context: Context, images: CalibrationImages) -> dict[str, Any]:
    """Threads and 1, 2, 4 workers on the same images."""
    count = len(images.paths)
    rows: dict[str, Any] = {"images": count}
    single, rows["threads"] = _by_threads(quantizer, context, images)
    for cpus in (1, 2, 4):
        with ray_of(cpus) as (workers, start):
            used = time.process_time()
            found, first, seconds = calibrate(quantizer, context, images, workers)
            used = time.process_time() - used + sum(_processor_s(pid) for _, pid in workers.seen)
            steady = seconds - first
            rows[f"{cpus} workers"] = {
                "start_s": start,
                "first_images_s": first,
                "seconds": seconds,
                "processor_s": used,
                "images_per_s_after_the_first": count / steady,
                "same": found == single,
            }
    rows["threads again"] = _by_threads(quantizer, context, images)[1]
    rows["ok"] = all(row.get("same", True) for row in rows.values() if isinstance(row, dict))
    return rows


def _by_threads(
    quantizer: Int8Quantizer, context: Context, images: CalibrationImages
) -> tuple[ActivationHistograms, dict[str, float]]:
    used = time.process_time()
    found, _, seconds = calibrate(quantizer, context, images, HERE)
    used, count = time.process_time() - used, len(images.paths)
    return found, {"seconds": seconds, "processor_s": used, "images_per_s": count / seconds}


def _processor_s(pid: int) -> float:
    """Processor time that a process has had since its start."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def killed(
    quantizer: Int8Quantizer, context: Context, images: CalibrationImages, kills: int
) -> dict[str, Any]:
    """Workers are killed at random moments until so many are dead; the result against one process's."""
    single = calibrate(quantizer, context, images, HERE)[0]
    dice, dead, ended = random.Random(0), set[int](), threading.Event()
    with ray_of(2) as (workers, _):

        def kill() -> None:
            while len(dead) < kills and not ended.wait(dice.uniform(0.2, 1.5)):
                alive = [pid for pid in _workers_of_ray() if pid not in dead]
                if alive and workers.seen:
                    victim = dice.choice(alive)
                    os.kill(victim, signal.SIGKILL)
                    dead.add(victim)

        thread = threading.Thread(target=kill)
        thread.start()
        found, _, seconds = calibrate(quantizer, context, images, workers)
        ended.set()
        thread.join()
        facts = {"kills": len(dead), "run_again": workers.retries, "seconds": seconds}
    return {**facts, "images": found.images, "same": found == single, "ok": found == single}


def _workers_of_ray() -> list[int]:
    """The processes on this machine that are in a task of ours (Linux; Ray names them)."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::run"):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def memory(quantizer: Int8Quantizer, context: Context, images: CalibrationImages) -> dict[str, Any]:
    """Resident memory of the workers and of this process, over many images."""
    rows: list[tuple[int, float, float]] = []
    with ray_of(2) as (workers, _):

        def look(done: int) -> None:
            own = [size for _, pid in workers.seen if (size := _resident_mb(pid))]
            if own:
                rows.append((done, max(own), _resident_mb(os.getpid())))

        seconds = calibrate(quantizer, context, images, workers, look)[2]
    half, quarter = len(rows) // 2, max(len(rows) // 4, 1)
    middle, end = rows[half - quarter // 2 : half + quarter // 2 + 1], rows[-quarter:]
    worker = [mean(row[1] for row in part) for part in (middle, end)]
    driver = [mean(row[2] for row in part) for part in (middle, end)]
    return {
        "images": rows[-1][0],
        "seconds": seconds,
        "worker_mb_first_middle_end": [rows[0][1], *worker],
        "this_process_mb_middle_end": driver,
        "ok": worker[1] < 1.05 * worker[0],
    }


def _resident_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def moved(quantizer: Int8Quantizer, images: CalibrationImages) -> dict[str, float]:
    """Bytes that go over and back, pickled: of the job once, of an image there, of a shard back."""
    from zooc.calibration.cluster import CalibrationJob
    from zooc.ir.sent import SentModel

    body, prelude = SentModel.of(quantizer.legalized.body), SentModel.of(quantizer._prelude)
    job = CalibrationJob(body, prelude, images, tuple(quantizer.observed), 1)
    crew = ClusterCrew(HERE, job, images, range(len(images.paths)))
    shard = [images.paths[place] for place in crew._places[0]]
    result = job.open()(shard)
    return {
        "images_a_shard": len(shard),
        "job_once": len(pickle.dumps(replace(job, images=replace(images, paths=[])), 5)),
        "there_an_image": len(pickle.dumps(shard, 5)) / len(shard),
        "back_a_shard": len(pickle.dumps(result, 5)),
        "back_an_image": len(pickle.dumps(result, 5)) / len(shard),
        "merge_ms_a_shard": _merge_ms(result[0]),
    }


def _merge_ms(arrays: Any) -> float:
    total = ActivationHistograms.from_arrays(arrays)
    begin = time.perf_counter()
    for _ in range(50):
        total.merge(ActivationHistograms.from_arrays(arrays))
    return (time.perf_counter() - begin) * 20


class Nothing:
    """A job that does nothing, so that only its scheduling takes time."""

    def open(self) -> Any:
        """Return what returns its shard."""
        return lambda shard: shard


def tasks(count: int) -> dict[str, Any]:
    """The cost of a task on four simulated nodes of two CPUs, on this machine."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    for _ in range(3):
        cluster.add_node(num_cpus=2)
    import zooc_runtime

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with connect(cluster.address, [Path(zooc_runtime.__file__).parent], 0) as workers:
            list(workers.map(Nothing(), range(50)))
            begin, used = time.monotonic(), time.process_time()
            found = dict(workers.map(Nothing(), range(count)))
            seconds, own = time.monotonic() - begin, time.process_time() - used
            seen = len(workers.seen)
    finally:
        cluster.shutdown()
    return {
        "tasks": count,
        "workers": seen,
        "ms_a_task": 1000 * seconds / count,
        "ms_a_task_of_this_process": 1000 * own / count,
        "ok": found == {n: n for n in range(count)},
    }


def main() -> None:
    """Print what was measured as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("digits", type=Path, nargs="?", help="the folder of examples/digits")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--memory", type=int, default=0, metavar="IMAGES")
    parser.add_argument("--tasks", type=int, default=0, metavar="COUNT")
    options = parser.parse_args()
    if options.tasks:
        result = tasks(options.tasks)
    elif options.digits is None:
        parser.error("name the folder of examples/digits, or give --tasks")
    else:
        result = _on_digits(options)
    print(json.dumps(result, indent=2))
    sys.exit(not result["ok"])


def _on_digits(options: argparse.Namespace) -> dict[str, Any]:
    quantizer, context = prepared(options.digits / "digits.zoo")
    with tempfile.TemporaryDirectory() as folder:
        count = options.memory or options.images
        place = cycled(options.digits / "data" / "train", Path(folder) / "images", count)
        found = quantizer.images()
        images = CalibrationImages.find(ImageSet(place), found.steps, found.source)
        facts: dict[str, Any] = {"moved": moved(quantizer, images)}
        if options.kills:
            return facts | killed(quantizer, context, images, options.kills)
        if options.memory:
            return facts | memory(quantizer, context, images)
        return facts | overhead(quantizer, context, images)


if __name__ == "__main__":
    main()
