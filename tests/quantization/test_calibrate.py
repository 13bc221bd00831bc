from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper

from zooc.calibration.histogram import ActivationHistograms
from zooc.calibration.ranges import choose_ranges
from zooc.calibration.run import calibrate
from zooc.calibration.workers import workers_for
from zooc.deployment import CalibrationMethod, Quantize
from zooc.diagnostics.diagnostic import ZoocError
from zooc.quantization.placement import tensors_to_observe
from zooc.quantization.qdq import quantize_body


@pytest.fixture
def body(net) -> onnx.ModelProto:
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 4, name="stem"), name="act")
    n.head(x, 4)
    return n.model()


def test_batches_of_any_size_give_the_same_sketches(body, net) -> None:
    images = net().images(6)
    tensors = ["act_out", "pool_out"]
    alone = calibrate(body, [images[i : i + 1] for i in range(6)], tensors, threads=1)
    pairs = calibrate(body, [images[4:], images[:1], images[1:4]], tensors, threads=1)
    assert alone.images == pairs.images == 6
    assert alone["act_out"].seen == 6 * 4 * 16 * 16
    assert np.abs(alone["act_out"].counts - pairs["act_out"].counts).sum() <= 4


def test_only_what_is_named_is_observed_and_the_body_stays_as_it_was(body, net) -> None:
    before = body.SerializeToString()
    histograms = calibrate(body, [net().images(1)], ["act_out"])
    assert list(histograms) == ["act_out"]
    assert body.SerializeToString() == before


def test_progress_counts_images(body, net) -> None:
    images, seen = net().images(5), []
    calibrate(body, [images[:2], images[2:4], images[4:]], ["act_out"], on_batch=seen.append)
    assert sorted(seen) == [1, 2, 2]


def test_a_float_input_can_be_observed_itself() -> None:
    source = helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["batch", 2])
    result = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["batch", 2])
    graph = helper.make_graph([helper.make_node("Relu", ["input"], ["logits"])], "g", [source], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    histograms = calibrate(model, [np.array([[-3, 2]], np.float32)], ["input", "logits"])
    assert (histograms["input"].low, histograms["logits"].low, histograms["logits"].high) == (-3, 0, 2)


def test_an_interrupted_run_continues_where_it_stopped(body, net) -> None:
    images = net().images(5)
    whole = calibrate(body, ([i] for i in images[:, None][:, 0]), ["act_out"], threads=1)
    kept = ActivationHistograms(["act_out"])

    def interrupted():
        yield from ([i] for i in images[:3])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(body, interrupted(), ["act_out"], into=kept, threads=1)
    assert kept.images == 3
    calibrate(body, ([i] for i in images[kept.images :]), ["act_out"], into=kept, threads=1)
    assert kept == whole


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(7)), st.lists(st.integers(1, 3), min_size=7, max_size=7), st.integers(1, 3))
def test_any_split_and_order_on_any_number_of_threads_gives_the_same_bits(
    body, net, order, shard_of, threads
) -> None:
    images, tensors = net().images(7), ["act_out", "pool_out"]
    whole = calibrate(body, [images[i : i + 1] for i in range(7)], tensors, threads=1)
    merged = ActivationHistograms(tensors)
    for shard in set(shard_of):
        mine = [images[i : i + 1] for i in order if shard_of[i] == shard]
        merged.merge(calibrate(body, mine, tensors, threads=threads))
    assert merged == whole


def test_all_zero_activations_have_the_range_zero_and_still_quantize(net, run) -> None:
    n = net()
    n.head(n.conv(n.add("Relu", n.conv(n.begin(), 3, 4, name="dead"), name="act"), 4, 4), 4)
    n.weights["dead.weight"][:] = 0
    n.weights["dead.bias"][:] = -1
    body, options = n.model(), Quantize(dtype="int8")
    histograms = calibrate(body, [n.images(1)], tensors_to_observe(body, options))
    for method in ("max", "percentile", "kl_divergence", "mse"):
        ranges = choose_ranges(
            histograms, CalibrationMethod(method, 99.99 if method == "percentile" else None)
        )
        assert ranges["act_out"] == (0.0, 0.0)
        logits = run(quantize_body(body, ranges, options).model, n.images(2))
        assert np.isfinite(logits).all()


def test_activations_so_large_that_few_fit_are_observed_by_one_thread(body, net, monkeypatch) -> None:
    monkeypatch.setattr("zooc.calibration.workers._ACTIVATION_BYTES", 1)
    names: set[str] = set()

    def batches():
        for image in net().images(12):
            names.add(str(threading.get_ident()))
            yield image[None]

    calibrate(body, batches(), ["act_out"], threads=8)
    assert len(names) == 1


def test_as_many_threads_work_as_there_are_cores_and_as_their_activations_fit(monkeypatch) -> None:
    monkeypatch.setattr("zooc.calibration.workers.available_cores", lambda: 3)
    wanted = {0: 3, 100 << 20: 3, 500 << 20: 2, 600 << 20: 1, 5 << 30: 1}
    assert {size: workers_for(size) for size in wanted} == wanted
    monkeypatch.setattr("zooc.calibration.workers.available_cores", lambda: 64)
    assert workers_for(1) == 4


def test_a_failure_in_the_midst_of_a_batch_leaves_whole_batches_only(body, net, monkeypatch) -> None:
    images, kept = net().images(4), ActivationHistograms(["act_out", "pool_out"])
    update = ActivationHistograms.update
    calls = []

    def failing(self, tensor, values):
        calls.append(tensor)
        if len(calls) == 6:  # the third batch's second tensor
            raise MemoryError
        update(self, tensor, values)

    monkeypatch.setattr(ActivationHistograms, "update", failing)
    with pytest.raises(MemoryError):
        calibrate(body, [i[None] for i in images], list(kept), into=kept, threads=1)
    assert kept["act_out"].seen == kept.images * 4 * 16 * 16
    assert kept["pool_out"].seen == kept.images * 4


def test_no_images_is_an_error(body) -> None:
    with pytest.raises(ZoocError, match="Z0413: there are no images"):
        calibrate(body, [], ["act_out"])


def test_sketches_of_other_tensors_cannot_be_continued(body, net) -> None:
    with pytest.raises(ZoocError, match="Z0415"):
        calibrate(body, [net().images(1)], ["act_out"], into=ActivationHistograms(["other"]))


def test_nan_activations_are_named_and_no_thread_stays_behind(net) -> None:
    n = net()
    n.head(n.add("Relu", n.conv(n.begin(), 3, 4, name="stem"), name="act"), 4)
    n.weights["stem.bias"][:] = np.inf
    with pytest.raises(ZoocError, match='Z0411: the activation "act_out" has 2048 infinite of 2048 values'):
        calibrate(n.model(), [n.images(2)] * 5, ["act_out"])
    assert not [t for t in threading.enumerate() if t.name == "zooc-calibrate"]
