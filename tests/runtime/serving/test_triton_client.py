"""Triton's own client, which many already have."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

triton = pytest.importorskip("tritonclient.http", reason="tritonclient is not installed")


@pytest.fixture
def client(server: Any) -> Any:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as one:
        yield one


def image_input(*files: bytes, binary: bool = True) -> Any:
    given = triton.InferInput("image", [len(files)], "BYTES")
    given.set_data_from_numpy(np.array(files, np.object_), binary_data=binary)
    return given


def test_it_finds_the_server_and_its_models(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("tinybird") and client.is_model_ready("tinybird", "1.2.3")
    assert not client.is_model_ready("tinybirt")
    assert client.get_server_metadata()["name"] == "zooc"
    assert client.get_model_metadata("tinybird", "1.2.3")["outputs"][0]["shape"] == [-1, 7]
    assert {"name": "heads", "version": "1.2.3", "state": "READY"} in client.get_model_repository_index()


def test_files_in_binary_give_the_models_probabilities(client: Any, server: Any, support: Any) -> None:
    files = [support.jpeg(seed) for seed in range(4)]
    answer = client.infer("tinybird", [image_input(*files)], request_id="four")
    assert answer.get_response()["id"] == "four"
    expected = server.models["tinybird"](files)
    np.testing.assert_array_equal(
        answer.as_numpy("probabilities"), np.stack([one.probabilities for one in expected])
    )
    rows = answer.as_numpy("topk")
    assert rows.shape == (4, 5)
    assert rows[3][0].decode().split(":", 2)[2] == expected[3].topk[0].label


def test_the_classification_extension_and_json_outputs(client: Any, server: Any, support: Any) -> None:
    wanted = [
        triton.InferRequestedOutput("probabilities", class_count=3),
        triton.InferRequestedOutput("topk", binary_data=False),
    ]
    file = support.jpeg(9)
    answer = client.infer("tinybird", [image_input(file)], outputs=wanted)
    best = server.models["tinybird"](file).topk
    classes = [text.decode().split(":", 2) for text in answer.as_numpy("probabilities")[0]]
    assert [(int(index), label) for _, index, label in classes] == [
        (one.index, one.label) for one in best[:3]
    ]
    assert answer.get_response()["outputs"][1]["data"][0].endswith(best[0].label)


def test_pixels_and_tensors(client: Any, server: Any, support: Any) -> None:
    pixels = np.asarray(support.picture(14, 9))[None]
    for binary in (True, False):
        given = triton.InferInput("image", list(pixels.shape), "UINT8")
        given.set_data_from_numpy(pixels, binary_data=binary)
        np.testing.assert_array_equal(
            client.infer("tinybird", [given]).as_numpy("probabilities")[0],
            server.models["tinybird"](pixels[0]).probabilities,
        )
    tensor = np.random.default_rng(1).standard_normal((5, 3, 8, 8)).astype(np.float32)
    given = triton.InferInput("input", [5, 3, 8, 8], "FP32")
    given.set_data_from_numpy(tensor)
    model = server.models["tensors"]
    np.testing.assert_allclose(
        client.infer("tensors", [given]).as_numpy("probabilities"),
        model.finish(model.run_tensor(tensor)),
        rtol=1e-6,
    )


def test_errors_reach_the_client_as_its_own(client: Any) -> None:
    with pytest.raises(triton.InferenceServerException, match="not an image that Pillow knows"):
        client.infer("tinybird", [image_input(b"no image")])
    with pytest.raises(triton.InferenceServerException, match='no model "tinybirt"'):
        client.infer("tinybirt", [image_input(b"x")])


def test_many_clients_at_once_each_get_their_own_answer(server: Any, support: Any) -> None:
    files = [support.jpeg(seed) for seed in range(8)]
    expected = [server.models["tinybird"](file).probabilities for file in files]

    def ask(number: int) -> None:
        with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as one:
            for turn in range(5):
                which = (number + turn) % len(files)
                answer = one.infer("tinybird", [image_input(files[which])])
                np.testing.assert_allclose(answer.as_numpy("probabilities")[0], expected[which], rtol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
