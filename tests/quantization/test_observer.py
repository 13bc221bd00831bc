from __future__ import annotations

import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper

from zooc.calibration.activations import ActivationReader

TENSORS = ["pixels", "act_out", "flat_out", "logits"]


@pytest.fixture
def body(net) -> onnx.ModelProto:
    n = net()
    x = n.add("Relu", n.conv(n.begin(), 3, 40, name="stem"), name="act")
    x = n.add("Flatten", n.add("GlobalAveragePool", x, name="pool"), name="flat")
    weight = n.store("fc.weight", n.random.normal(0, 1, (40, 40)))
    n.finish(n.add("Gemm", x, weight, name="fc"))
    return n.model()


def plain_values(body: onnx.ModelProto, batch: np.ndarray) -> dict[str, np.ndarray]:
    model = onnx.ModelProto()
    model.CopyFrom(body)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in ("act_out", "flat_out")
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    logits, act, flat = session.run(None, {"pixels": batch})
    return {"pixels": batch, "act_out": act, "flat_out": flat, "logits": logits}


def test_values_are_those_of_a_session_of_its_own_for_every_batch(body, net) -> None:
    observe = ActivationReader(body, TENSORS)
    images = net().images(12)
    for batch in (*images[:4, None], images[4:6], images[6:7], images[7:9], images[9:]):
        with observe(batch) as values:
            assert list(values) == TENSORS
            for name, expected in plain_values(body, batch).items():
                np.testing.assert_array_equal(values[name], expected, err_msg=name)


def test_memory_serves_again_once_it_is_free_and_not_before(body, net) -> None:
    observe, images = ActivationReader(body, TENSORS), net().images(3)
    with observe(images[:1]) as first:
        place, kept = first["act_out"].ctypes.data, first["act_out"].copy()
        with observe(images[1:2]) as second:
            assert second["act_out"].ctypes.data != place
        np.testing.assert_array_equal(first["act_out"], kept)
    places = {place}
    for _ in range(3):
        with observe(images[2:]) as values:
            places.add(values["act_out"].ctypes.data)
    assert len(places) <= 2


def test_memory_that_was_dropped_is_with_nobody_and_values_stay_right(body, net) -> None:
    observe, images = ActivationReader(body, TENSORS), net().images(2)
    with observe(images[:1]) as values:
        first = weakref.ref(values["act_out"])
    del values
    assert first() is not None
    observe.drop_memory()
    assert first() is None
    with observe(images[1:]) as values:
        np.testing.assert_array_equal(values["act_out"], plain_values(body, images[1:])["act_out"])


def test_several_threads_do_not_disturb_each_other(body, net) -> None:
    observe, images = ActivationReader(body, TENSORS), net().images(16)
    expected = [plain_values(body, images[i : i + 1])["act_out"] for i in range(16)]

    def equal(turn: int) -> bool:
        i = turn % 16
        with observe(images[i : i + 1]) as values:
            return np.array_equal(values["act_out"], expected[i])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(equal, range(200)))
