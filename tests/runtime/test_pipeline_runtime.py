"""`submit` and `stream`: the same answers as calls, in order, in bounded memory, and nothing left behind."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zooc_runtime import PackageError, open_package
from zooc_runtime.inference import scheduler as pipeline
from zooc_runtime.inference.model import Model
from zooc_runtime.inference.scheduler import Pipeline
from zooc_runtime.inference.stamps import Stamps


@pytest.fixture
def model(package: Path) -> Iterator[Model]:
    with open_package(package, threads=1, batch_size=1) as opened:
        yield opened


def _images(number: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (8 + i % 5, 9 + i % 3, 3), dtype=np.uint8) for i in range(number)]


class Fake:
    """In a model's place: images are numbers, answers are (number, the batch it was in)."""

    def __init__(
        self,
        decode: Callable[[int], Any] = lambda image: image,
        body: Callable[[np.ndarray], Any] = lambda tensor: None,
    ) -> None:
        self._decode, self._body = decode, body

    def decode(self, image: int) -> int:
        self._decode(image)
        return image

    def prepare(self, decoded: int, image: int) -> np.ndarray:
        return np.array(decoded)

    def run_tensor(self, tensor: np.ndarray) -> list[tuple[int, list[int]]]:
        self._body(tensor)
        return [(int(one), tensor.tolist()) for one in tensor]

    def finish(self, logits: Any) -> Any:
        return logits

    def result(self, row: Any, topk: int) -> Any:
        return row


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pipeline]]:
    """Makes pipelines of two workers, and closes them."""
    monkeypatch.setattr(pipeline, "available_cores", lambda: 2)
    made: list[Pipeline] = []

    def make(streams: int = 1, max_batch: int = 1, max_wait_us: float = 0) -> Pipeline:
        made.append(Pipeline(streams, max_batch, max_wait_us))
        return made[-1]

    yield make
    for one in made:
        one.close(cancel=True)


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_stream_and_submit_give_what_calls_give_in_order(model: Model, photo: Path) -> None:
    images = [*_images(20), photo, str(photo), photo.read_bytes()]
    called = [model(image) for image in images]
    submitted = [future.result() for future in [model.submit(image) for image in images]]
    for results in (list(model.stream(images)), submitted):
        assert [one.topk for one in results] == [one.topk for one in called]
        assert all(
            np.array_equal(a.probabilities, b.probabilities) for a, b in zip(results, called, strict=True)
        )
    assert len(model.submit(photo, topk=2).result().topk) == 2
    assert [len(one.topk) for one in model.stream([photo], topk=3)] == [3]
    assert list(model.stream([])) == []


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch_and_logits_stream_as_well(pristine: Callable[..., Path], batch: int) -> None:
    with open_package(pristine(batch=batch, softmax=False), threads=1) as fixed:
        images = _images(7)
        streamed = np.stack([one.probabilities for one in fixed.stream(images)])
        np.testing.assert_allclose(streamed, fixed.probabilities(images), rtol=1e-5)


def test_an_unreadable_image_raises_at_its_place_and_is_named(model: Model) -> None:
    images = _images(4)
    answers = model.stream([*images[:3], "missing.jpg", images[3]])
    assert len(list(islice(answers, 3))) == 3
    with pytest.raises(PackageError, match=r"missing\.jpg: no such file"):
        next(answers)
    assert list(answers) == []


def test_unreadable_images_are_returned_in_their_places_if_asked_for(package: Path) -> None:
    with open_package(package, threads=1, batch_size=4) as model:
        images: list[Any] = _images(9)
        images[1] = images[6] = "missing.jpg"
        answers = list(model.stream(images, errors="return"))
    failed = [i for i, one in enumerate(answers) if isinstance(one, PackageError)]
    assert failed == [1, 6] and "missing.jpg" in str(answers[6])


def test_wrong_use_is_refused_at_once(model: Model, photo: Path, pristine: Callable[..., Path]) -> None:
    with pytest.raises(PackageError, match="stream takes several images"):
        model.stream(str(photo))
    with pytest.raises(PackageError, match='errors is \'skip\'; give "raise" or "return"'):
        model.stream([photo], errors="skip")  # type: ignore[call-overload]
    with pytest.raises(PackageError, match="topk is 0"):
        model.submit(photo, topk=0)
    with open_package(pristine(tensor=True)) as tensors, pytest.raises(PackageError, match="takes no images"):
        tensors.submit(photo).result()


@pytest.mark.parametrize("options", [{"max_wait_us": -1}, {"max_wait_us": float("nan")}], ids=str)
def test_an_unfit_wait_is_refused(package: Path, options: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match="max_wait_us is"):
        open_package(package, **options)


def test_a_failing_image_fails_alone_in_its_batch(pipe: Callable[..., Pipeline]) -> None:
    def decode(image: int) -> None:
        if image == 2:
            raise PackageError("image 2: damaged")

    fake: Any = Fake(decode)
    one = pipe(max_batch=4, max_wait_us=1e7)
    futures = [one.submit(fake, image, 1) for image in range(4)]
    assert [f.result()[1] for f in (futures[0], futures[1], futures[3])] == [[0, 1, 3]] * 3  # type: ignore[index]
    with pytest.raises(PackageError, match="image 2: damaged"):
        futures[2].result()


def test_a_failing_network_fails_its_batch_and_the_next_goes_on(pipe: Callable[..., Pipeline]) -> None:
    def body(tensor: np.ndarray) -> None:
        if 1 in tensor:
            raise PackageError("out of memory")

    outcomes = list(pipe(max_batch=2).stream(Fake(body=body), range(5), 1, "return"))  # type: ignore[arg-type]
    assert [isinstance(one, PackageError) for one in outcomes] == [True, True, False, False, False]


def test_the_same_images_make_the_same_batches(pipe: Callable[..., Pipeline]) -> None:
    slow = Fake(decode=lambda image: time.sleep(0.002 * (image % 3)))
    for streams in (1, 2):
        answers: Any = list(pipe(streams, 3).stream(slow, range(8), 1, "raise"))  # type: ignore[arg-type]
        assert [batch for _, batch in answers] == [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3 + [[6, 7]] * 2


def test_submitted_images_wait_for_each_other_up_to_the_limit(pipe: Callable[..., Pipeline]) -> None:
    fake: Any = Fake()
    patient = pipe(max_batch=3, max_wait_us=1e7)
    futures: Any = [patient.submit(fake, image, 1) for image in range(3)]
    assert [f.result(5)[1] for f in futures] == [[0, 1, 2]] * 3  # full: nobody waits ten seconds
    hasty = pipe(max_batch=3, max_wait_us=2e4)
    begin = time.monotonic()
    assert hasty.submit(fake, 7, 1).result(5) == (7, [7])
    assert time.monotonic() - begin >= 0.02


def test_a_batch_fills_while_the_streams_are_busy(pipe: Callable[..., Pipeline]) -> None:
    busy, go_on = threading.Event(), threading.Event()

    def body(tensor: np.ndarray) -> None:
        busy.set()
        assert go_on.wait(10)

    one, fake = pipe(max_batch=4), Fake(body=body)
    futures: Any = [one.submit(fake, 0, 1)]  # type: ignore[arg-type]
    assert busy.wait(10)
    futures += [one.submit(fake, image, 1) for image in range(1, 6)]  # type: ignore[arg-type]
    go_on.set()
    assert [f.result(10)[1] for f in futures] == [[0]] + [[1, 2, 3, 4]] * 4 + [[5]]


def test_images_are_decoded_while_the_network_works(pipe: Callable[..., Pipeline]) -> None:
    decoded_second = threading.Event()

    def body(tensor: np.ndarray) -> None:
        assert 0 not in tensor or decoded_second.wait(10)

    fake: Any = Fake(lambda image: image == 1 and decoded_second.set(), body)
    assert len(list(pipe().stream(fake, range(3), 1, "raise"))) == 3


def test_streams_bound_the_batches_in_the_network_and_cores_the_workers(
    pipe: Callable[..., Pipeline],
) -> None:
    lock, now, most = threading.Lock(), [0, 0], [0, 0]

    def visit(place: int) -> None:
        with lock:
            now[place] += 1
            most[place] = max(most[place], now[place])
        time.sleep(0.002)
        with lock:
            now[place] -= 1

    before = threading.active_count()
    fake: Any = Fake(lambda _: visit(1), lambda _: visit(0))
    one = pipe(streams=1)
    assert len(list(one.stream(fake, range(20), 1, "raise"))) == 20
    assert most[0] == 1 and most[1] <= 2
    assert threading.active_count() <= before + 2


def test_the_stream_reads_no_more_than_a_few_batches_ahead(pipe: Callable[..., Pipeline]) -> None:
    read: list[int] = []

    def endless() -> Iterator[int]:
        for number in count():
            read.append(number)
            yield number

    answers = pipe(streams=2, max_batch=2).stream(Fake(), endless(), 1, "raise")  # type: ignore[arg-type]
    assert not read
    for done in range(1, 50):
        next(answers)
        assert len(read) - done <= 12
    answers.close()  # type: ignore[attr-defined]
    assert len(read) <= 62


def test_prepared_images_wait_in_bounded_number(pipe: Callable[..., Pipeline]) -> None:
    go_on = threading.Event()
    decoded: list[int] = []
    fake: Any = Fake(decoded.append, lambda _: go_on.wait(10))
    one = pipe()
    futures = [one.submit(fake, image, 1) for image in range(100)]
    assert _eventually(lambda: len(decoded) >= 4)
    time.sleep(0.05)
    assert len(decoded) <= 6
    go_on.set()
    assert all(future.result(10) for future in futures)


def test_a_cancelled_image_is_never_touched(pipe: Callable[..., Pipeline]) -> None:
    go_on = threading.Event()
    touched: list[int] = []

    def decode(image: int) -> None:
        touched.append(image)
        go_on.wait(10)

    one = pipe(max_batch=2)
    futures = [one.submit(Fake(decode), image, 1) for image in range(5)]  # type: ignore[arg-type]
    assert _eventually(lambda: len(touched) == 2)
    assert futures[3].cancel() and not futures[0].cancel()
    go_on.set()
    assert futures[4].result(10) and futures[2].result(10)
    assert 3 not in touched


def test_a_callback_may_use_the_pipeline_and_wait_for_it(pipe: Callable[..., Pipeline]) -> None:
    one, fake, inner = pipe(), Fake(), []

    def callback(_: Any) -> None:
        inner.append(one.submit(fake, 8, 1).result(10))  # type: ignore[arg-type]

    one.submit(fake, 7, 1).add_done_callback(callback)  # type: ignore[arg-type]
    assert _eventually(lambda: inner == [(8, [8])])


def test_an_abandoned_stream_leaves_nothing_to_do(pipe: Callable[..., Pipeline]) -> None:
    decoded: list[int] = []
    one = pipe(max_batch=2)
    before = threading.active_count()
    fake: Any = Fake(lambda image: (decoded.append(image), time.sleep(0.01)))
    for _ in range(5):
        answers = one.stream(fake, range(1000), 1, "raise")
        next(answers)
        del answers
    assert threading.active_count() <= before + 2
    assert one.submit(fake, 5000, 1).result(10)
    assert len(decoded) < 5 * 20


def test_close_answers_what_was_submitted_and_takes_no_more(package: Path, photo: Path) -> None:
    before = threading.active_count()
    with open_package(package, threads=1) as model:
        futures = [model.submit(photo) for _ in range(20)]
    assert all(future.done() and future.result().topk for future in futures)
    assert threading.active_count() <= before
    for use in (lambda: model.submit(photo), lambda: next(model.stream([photo]))):
        with pytest.raises(PackageError, match="the model is closed and takes no more images"):
            use()
    model.close()
    assert model(photo).topk  # calls need no workers


def test_an_exception_in_the_with_block_cancels_what_waits(package: Path, photo: Path) -> None:
    with pytest.raises(ZeroDivisionError), open_package(package, threads=1) as model:
        futures = [model.submit(photo) for _ in range(500)]
        _ = 1 / 0
    assert all(future.done() for future in futures)
    assert any(future.cancelled() for future in futures)


def test_closing_while_a_stream_is_read_is_told_to_its_reader(model: Model) -> None:
    answers = model.stream(_images(100))
    next(answers)
    model.pipeline.close(cancel=True)
    with pytest.raises(PackageError, match=r"the model (was|is) closed"):
        list(answers)


def test_a_model_that_is_dropped_takes_its_workers_along(package: Path, photo: Path) -> None:
    before = threading.active_count()
    model = open_package(package, threads=1)
    assert model.submit(photo).result().topk
    del model
    gc.collect()
    assert _eventually(lambda: threading.active_count() <= before)


def _python(code: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_interpreter_ends_promptly_with_images_waiting(package: Path, photo: Path) -> None:
    process = _python(
        "from zooc_runtime import open_package\n"
        f"model = open_package({str(package)!r})\n"
        f"futures = [model.submit({str(photo)!r}) for _ in range(20000)]\n"
        "print('done')\n"
    )
    assert process.communicate(timeout=60) == ("done\n", "")
    assert process.returncode == 0


def test_ctrl_c_leaves_a_stream_promptly(package: Path, photo: Path) -> None:
    process = _python(
        "from itertools import repeat\n"
        "from zooc_runtime import open_package\n"
        f"model = open_package({str(package)!r})\n"
        "try:\n"
        f"    for number, _ in enumerate(model.stream(repeat({str(photo)!r}))):\n"
        "        number or print('begun', flush=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('left')\n"
    )
    assert process.stdout and process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == ("left\n", "")
    assert process.returncode == 0


def test_an_answered_request_is_freed_without_the_collector(package: Path) -> None:
    """A cycle would keep its pixels until a collection, and a server may live long between two."""
    image = np.zeros((12, 9, 3), np.uint8)
    gc.disable()
    try:
        with open_package(package, "onnxruntime") as model:
            answer = model.submit(image)
            answer.result()
            given, kept = weakref.ref(image), weakref.ref(answer)
            del image, answer
        assert (given(), kept()) == (None, None)
    finally:
        gc.enable()


def test_prepared_images_go_straight_into_the_network(package: Path, photo: Path) -> None:
    with open_package(package, "onnxruntime") as model:
        stamps = Stamps()
        answer = model.pipeline.submit(model, model.pixels(photo), 2, prepared=True, stamps=stamps).result()
        np.testing.assert_array_equal(answer.probabilities, model(photo).probabilities)
        assert len(answer.topk) == 2 and (stamps.batch, stamps.leads) == (1, True)
        assert stamps.seconds["decode"] == stamps.seconds["preprocess"] == 0 < stamps.seconds["network"]
