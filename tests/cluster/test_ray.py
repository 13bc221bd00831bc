"""Work on a Ray cluster: the results of a single run, whatever happens to the workers."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from zooc.calibration import cluster as calibration_cluster
from zooc.calibration.images import CalibrationImages
from zooc.calibration.run import run_calibration
from zooc.deployment import ImageSet
from zooc.diagnostics.diagnostic import ZoocError
from zooc.package.emit import emit_package
from zooc.pipeline.compare import compare_packages
from zooc.support.cache import Cache
from zooc.support.progress import Progress
from zooc_runtime.data.opening import all_images, open_source
from zooc_runtime.errors import PackageError
from zooc_runtime.inference.model import open_package
from zooc_runtime.inference.spread import SpreadPackage, outcomes
from zooc_runtime.package.manifest import Manifest
from zooc_runtime.support.ray_workers import RayProblem, RayWorkers
from zooc_runtime.support.workers import HERE, in_order

pytestmark = pytest.mark.slow

SIDE = 8


def _graph(nodes: list[onnx.NodeProto], inputs: list[object], outputs: list[object], **stored: np.ndarray):
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture(scope="module")
def prelude() -> onnx.ModelProto:
    """The first 8 x 8 pixels."""
    value = helper.make_tensor_value_info
    return _graph(
        [
            helper.make_node("Slice", ["image", "start", "end"], ["cut"]),
            helper.make_node("Transpose", ["cut"], ["chw"], perm=[2, 0, 1]),
            helper.make_node("Unsqueeze", ["chw", "axis"], ["pixels"]),
        ],
        [value("image", TensorProto.UINT8, ["h", "w", 3])],
        [value("pixels", TensorProto.UINT8, [1, 3, SIDE, SIDE])],
        start=np.array([0, 0]),
        end=np.array([SIDE, SIDE]),
        axis=np.array([0]),
    )


def _body(weight: float = 0.3) -> onnx.ModelProto:
    """A convolution large enough that its weights go apart."""
    value, rng = helper.make_tensor_value_info, np.random.default_rng(0)
    return _graph(
        [
            helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Conv", ["float", "w"], ["conv"], pads=[1] * 4),
            helper.make_node("Relu", ["conv"], ["logits"]),
        ],
        [value("pixels", TensorProto.UINT8, ["n", 3, SIDE, SIDE])],
        [value("logits", TensorProto.FLOAT, ["n", 64, SIDE, SIDE])],
        w=(weight * rng.standard_normal((64, 3, 3, 3))).astype(np.float32),
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> CalibrationImages:
    """Sixty pictures and one file that is none."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(1)
    for index in range(60):
        Image.fromarray(rng.integers(0, 256, (12, 10, 3), np.uint8)).save(folder / f"{index:02}.png")
    (folder / "30x.png").write_bytes(b"nothing")
    return CalibrationImages.find(ImageSet(folder))


@pytest.fixture(scope="module")
def archive(images: CalibrationImages) -> Path:
    """The same in a tar file."""
    place = images.image_set.folder.with_suffix(".tar")
    with tarfile.open(place, "w") as tar:
        for path in images.paths:
            tar.add(path, path.name)
    return place


def calibrated(prelude, images, workers, progress=None, cache=None, body=None):
    """Histograms, and the images that were left out."""
    own = replace(images, skipped={})
    reader = calibration_cluster.ActivationReader
    body = body or _body()
    tensors = ["conv", "logits"]
    found = run_calibration(
        body,
        prelude,
        own,
        tensors,
        lambda: reader(body, tensors),
        cache or Cache(None),
        progress or Progress(),
        workers,
    )
    return found, own.skipped


class Killer(Progress):
    """Kills a worker at some of the reports of progress."""

    def __init__(self, workers: RayWorkers, at: Sequence[int]) -> None:
        self.workers, self.at, self.reports, self.killed = workers, set(at), 0, 0

    def track(self, description: str, total: int):
        from contextlib import contextmanager

        @contextmanager
        def tracked():
            yield self.advance

        return tracked()

    def advance(self, _count: int) -> None:
        self.reports += 1
        if self.reports in self.at:
            for _, pid in self.workers.seen:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                self.killed += 1


def test_a_calibration_is_that_of_one_process_to_the_bit_though_workers_are_killed(
    cluster: RayWorkers, prelude, images, monkeypatch: pytest.MonkeyPatch
) -> None:
    single, skipped = calibrated(prelude, images, HERE)
    assert single.images == 60 and list(skipped) == ["30x.png"]
    monkeypatch.setattr(calibration_cluster, "_SHARD", 3)
    killer = Killer(cluster, at=(2, 9))
    before = cluster.retries
    found, left_out = calibrated(prelude, images, cluster, killer)
    assert found == single and left_out == skipped
    assert killer.killed >= 2 and cluster.retries > before


def test_a_calibration_on_an_archive_is_that_on_its_folder(
    cluster: RayWorkers, prelude, images, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration_cluster, "_SHARD", 16)
    packed = CalibrationImages.find(ImageSet(str(archive)))
    assert calibrated(prelude, packed, cluster) == calibrated(prelude, images, HERE)


def test_an_interrupted_calibration_continues_elsewhere(
    cluster: RayWorkers, prelude, images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(Killer):
        def advance(self, _count: int) -> None:
            self.reports += 1
            if self.reports == 3:
                raise KeyboardInterrupt

    single, _ = calibrated(prelude, images, HERE)
    monkeypatch.setattr(calibration_cluster, "_SHARD", 10)
    with pytest.raises(KeyboardInterrupt):
        calibrated(prelude, images, cluster, Interrupted(cluster, ()), Cache(tmp_path))
    assert any((tmp_path / "partial").iterdir())
    found, skipped = calibrated(prelude, images, HERE, cache=Cache(tmp_path))
    assert found == single and list(skipped) == ["30x.png"]


def test_what_a_worker_raises_is_raised_here(cluster: RayWorkers, prelude, images) -> None:
    with pytest.raises(ZoocError, match='Z0411: the activation "conv", the result of Conv, has 4096 NaN'):
        calibrated(prelude, images, cluster, body=_body(float("inf")))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two tiny packages of the same classes."""
    place = Path(__file__).parents[1] / "runtime" / "tiny_package.py"
    spec = importlib.util.spec_from_file_location("tiny_package", place)
    assert spec and spec.loader
    tiny = importlib.util.module_from_spec(spec)
    sys.modules["tiny_package"] = tiny
    spec.loader.exec_module(tiny)
    folder = tmp_path_factory.mktemp("packages")
    kinds = {"one": True, "other": False}
    made = [emit_package(tiny.tiny_contents(softmax=s), folder / n, force=False) for n, s in kinds.items()]
    return made[0] / "tinybird", made[1] / "tinybird"


@pytest.mark.parametrize("form", ["paths", "archive"])
def test_a_package_answers_the_same_image_for_image(
    form: str,
    cluster: RayWorkers,
    packages: tuple[Path, Path],
    images: CalibrationImages,
    archive,
    monkeypatch,
) -> None:
    monkeypatch.setattr("zooc_runtime.inference.spread.SHARD", 7)
    monkeypatch.chdir(images.image_set.folder if form == "paths" else archive.parent)
    paths = [path.name for path in images.paths] if form == "paths" else all_images(open_source(archive.name))
    broken = "30x.png: " if form == "paths" else f"{archive.name}/30x.png: "
    spread = SpreadPackage(Manifest(packages[0]), {}, cluster)
    with open_package(packages[0]) as model:
        pairs = zip(outcomes(model, paths, 5), spread.outcomes(paths, 5), strict=True)
        for here, there in pairs:
            if isinstance(here, PackageError):
                assert str(there) == str(here) and str(here).startswith(broken)
            else:
                assert there.topk == here.topk
                np.testing.assert_array_equal(there.probabilities, here.probabilities)


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_two_packages_compare_the_same(
    form: str, cluster: RayWorkers, packages: tuple[Path, Path], images, archive: Path, monkeypatch
) -> None:
    monkeypatch.chdir(archive.parent)
    place = archive.name if form == "archive" else images.image_set.folder.name
    here, there = (
        compare_packages(packages, place, None, "none", 5, Progress(), workers).to_json()
        for workers in (HERE, cluster)
    )
    assert here == there and here["images"] == 60 and len(here["skipped"]) == 1


@dataclass(frozen=True)
class Squares:
    """A job of plain numbers."""

    ends: int = -1

    def open(self) -> Callable[[int], int]:
        def work(number: int) -> int:
            if number == self.ends:
                os._exit(1)
            return number * number

        return work


@pytest.fixture(autouse=True)
def by_value(cluster: RayWorkers) -> None:
    """Workers cannot import this file."""
    cluster._ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_results_come_once_and_in_order_when_asked(cluster: RayWorkers) -> None:
    assert list(in_order(cluster.map(Squares(), range(200)))) == [n * n for n in range(200)]


def test_a_shard_that_ends_every_worker_is_blamed(
    cluster: RayWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zooc_runtime.support.ray_workers._RETRIES", 1)
    with pytest.raises(RayProblem, match="a worker died 2 times at the same images") as caught:
        list(cluster.map(Squares(ends=3), range(5)))
    assert caught.value.kind == "died"


def test_a_worker_of_other_versions_is_named(cluster: RayWorkers) -> None:
    other = RayWorkers(cluster._ray, {"numpy": "0.9", "nosuchmodule": "1.0"}, print)
    with pytest.raises(
        RayProblem, match=r"the worker [\d.]+ has .*nosuchmodule not installed, here 1\.0"
    ) as it:
        list(other.map(Squares(), range(3)))
    assert it.value.kind == "versions" and f"numpy {np.__version__}, here 0.9" in str(it.value)


def test_a_cluster_without_workers_is_waited_for_and_said_once(
    cluster: RayWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    lonely = RayWorkers(cluster._ray, {}, said.append)
    sizes = iter([0, 0, 2])
    monkeypatch.setattr(cluster._ray, "cluster_resources", lambda: {"CPU": next(sizes, 2)})
    for _ in range(4):
        lonely.cpus()
        lonely._looked = 0.0
        lonely._looked -= 10
    assert [line.split(";")[0] for line in said] == [
        "the cluster has no worker left",
        "the cluster has 2 CPUs again",
    ]
