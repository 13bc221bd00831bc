"""Open Inference Protocol, version 2: what a client may ask, and that the answers are the package's own."""

from __future__ import annotations

import http.client
import io
import json
import struct
import time
from typing import Any

import numpy as np
import pytest


def test_the_server_and_its_models_say_what_they_are(server: Any) -> None:
    assert server.get("/v2/health/live") == (200, {"live": True})
    assert server.get("/v2/health/ready") == (200, {"ready": True})
    status, about = server.get("/v2")
    assert status == 200 and about["name"] == "zooc" and "binary_tensor_data" in about["extensions"]
    for path in ("/v2/models/tinybird", "/v2/models/tinybird/versions/1.2.3"):
        assert server.get(f"{path}/ready") == (200, {"name": "tinybird", "ready": True})
        assert server.get(path) == (
            200,
            {
                "name": "tinybird",
                "versions": ["1.2.3"],
                "platform": "zooc_onnxruntime",
                "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
                "outputs": [
                    {"name": "probabilities", "datatype": "FP32", "shape": [-1, 7]},
                    {"name": "topk", "datatype": "BYTES", "shape": [-1, 5]},
                ],
            },
        )
    assert server.get("/v2/models/tensors")[1]["inputs"] == [
        {"name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8]}
    ]


def test_files_as_base64_are_answered_as_the_model_answers(server: Any, support: Any) -> None:
    files = [support.jpeg(seed) for seed in range(3)]
    status, answer = server.infer(support.json_of(*files, id="seven"))
    assert status == 200 and (answer["id"], answer["model_version"]) == ("seven", "1.2.3")
    probabilities, ranked = answer["outputs"]
    expected = server.models["tinybird"](files)
    assert probabilities["shape"] == [3, 7]
    np.testing.assert_array_equal(
        np.array(probabilities["data"], np.float32), np.concatenate([one.probabilities for one in expected])
    )
    rows = [text.split(":", 2) for text in ranked["data"]]
    best = [one for result in expected for one in result.topk]
    assert [(int(index), label) for _, index, label in rows] == [(one.index, one.label) for one in best]
    assert [np.float32(score) for score, _, _ in rows] == [np.float32(one.probability) for one in best]


def test_a_file_alone_is_a_request(server: Any, support: Any) -> None:
    path = "/v2/models/tinybird/versions/1.2.3/infer"
    status, _, body = server.ask("POST", path, support.jpeg(), {support.LENGTH: "0"})
    assert status == 200
    assert json.loads(body)["outputs"] == server.infer(support.json_of(support.jpeg()))[1]["outputs"]


def test_binary_data_both_ways(server: Any, support: Any) -> None:
    file = support.jpeg(4)
    behind = struct.pack("<I", len(file)) + file
    document = {
        "inputs": [
            {
                "name": "image",
                "datatype": "BYTES",
                "shape": [1, 1],
                "parameters": {"binary_data_size": len(behind)},
            }
        ],
        "outputs": [
            {"name": "probabilities", "parameters": {"binary_data": True}},
            {"name": "topk", "parameters": {"binary_data": True}},
            {"name": "probabilities", "parameters": {"classification": 2}},
        ],
    }
    text = json.dumps(document).encode()
    status, headers, body = server.ask(
        "POST", "/v2/models/tinybird/infer", text + behind, {support.LENGTH: str(len(text))}
    )
    assert status == 200
    length = int(headers[support.LENGTH])
    scores, ranked, classes = json.loads(body[:length])["outputs"]
    expected = server.models["tinybird"](file)
    at = length + scores["parameters"]["binary_data_size"]
    assert body[length:at] == expected.probabilities.astype("<f4").tobytes()
    assert len(body) == at + ranked["parameters"]["binary_data_size"]
    (size,) = struct.unpack_from("<I", body, at)
    assert body[at + 4 : at + 4 + size].decode().split(":")[1] == str(expected.topk[0].index)
    assert classes["shape"] == [1, 2] and classes["data"][0].endswith(f":{expected.topk[0].label}")


def test_pixels_of_any_size_and_the_networks_own(server: Any, support: Any) -> None:
    pixels = np.asarray(support.picture(20, 11))
    model = server.models["tinybird"]
    expected = model(pixels).probabilities
    for shape in ([11, 20, 3], [1, 11, 20, 3]):
        one = {"name": "image", "datatype": "UINT8", "shape": shape, "data": pixels.ravel().tolist()}
        status, answer = server.infer({"inputs": [one]})
        assert status == 200
        np.testing.assert_array_equal(np.float32(answer["outputs"][0]["data"]), expected)
    own = np.ascontiguousarray(model.pixels(pixels))
    one = {"name": "pixels", "datatype": "UINT8", "shape": [1, 3, 8, 8], "data": own[None].tolist()}
    np.testing.assert_array_equal(
        np.float32(server.infer({"inputs": [one]})[1]["outputs"][0]["data"]), expected
    )
    one = {**one, "parameters": {"binary_data_size": own.nbytes}}
    del one["data"]
    status, answer = server.infer({"inputs": [one]}, behind=own.tobytes())
    np.testing.assert_array_equal(np.float32(answer["outputs"][0]["data"]), expected)


def test_a_package_of_tensors_takes_tensors(server: Any) -> None:
    tensor = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    model = server.models["tensors"]
    one = {"name": "input", "datatype": "FP32", "shape": list(tensor.shape), "data": tensor.ravel().tolist()}
    status, answer = server.infer({"inputs": [one]}, "tensors")
    assert status == 200
    np.testing.assert_allclose(
        np.float32(answer["outputs"][0]["data"]).reshape(2, 7),
        model.finish(model.run_tensor(tensor)),
        rtol=1e-6,
    )


def test_several_heads_are_outputs_of_their_own(server: Any, support: Any) -> None:
    file = support.jpeg(2)
    result = server.models["heads"](file)
    assert [one["name"] for one in server.get("/v2/models/heads")[1]["outputs"]] == [
        "colour.probabilities",
        "colour.topk",
        "shape.probabilities",
        "shape.topk",
    ]
    answer = server.infer(support.json_of(file), "heads")[1]
    found = {one["name"]: one for one in answer["outputs"]}
    np.testing.assert_array_equal(
        np.float32(found["shape.probabilities"]["data"]), result.heads["shape"].probabilities
    )
    assert found["colour.topk"]["shape"] == [1, 2] and found["shape.topk"]["shape"] == [1, 3]
    assert found["colour.topk"]["data"][0].split(":")[2] == result.heads["colour"].topk[0].label
    assert found["shape.topk"]["data"][0].split(":")[1:] == [str(result.heads["shape"].topk[0].index)]


def test_embeddings_are_numbers_and_no_classes(server: Any, support: Any) -> None:
    status, answer = server.infer(support.json_of(support.jpeg()), "embeddings")
    assert status == 200 and [one["name"] for one in answer["outputs"]] == ["embeddings"]
    wanted = [{"name": "embeddings", "parameters": {"classification": 1}}]
    status, answer = server.infer(support.json_of(support.jpeg(), outputs=wanted), "embeddings")
    assert status == 400 and "no classes" in answer["error"]


def test_more_classes_than_there_are(server: Any, support: Any) -> None:
    wanted = [{"name": "probabilities", "parameters": {"classification": 1000}}]
    answer = server.infer(support.json_of(support.jpeg(), outputs=wanted))[1]
    assert answer["outputs"][0]["shape"] == [1, 7]


def test_the_times_of_the_stages_on_request(server: Any, support: Any) -> None:
    answer = server.infer(support.json_of(support.jpeg(), parameters={"timing": True}))[1]
    times = answer["parameters"]
    assert set(times) == {"decode_us", "preprocess_us", "queue_us", "network_us", "batch"}
    assert times["batch"] == 1 and 0 < times["decode_us"] < 10e6
    assert "parameters" not in server.infer(support.json_of(support.jpeg()))[1]


def test_the_image_as_the_network_sees_it(server: Any, support: Any) -> None:
    from PIL import Image

    file = support.jpeg(1)
    status, headers, body = server.ask("POST", "/page/models/tinybird/pixels", file)
    assert status == 200 and headers["Content-Type"] == "image/png"
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(body))).transpose(2, 0, 1), server.models["tinybird"].pixels(file)
    )
    assert server.ask("POST", "/page/models/tinybird/pixels", b"no image")[0] == 400
    assert server.ask("POST", "/page/models/tensors/pixels", file)[0] == 400
    assert server.ask("POST", "/page/models/nobody/pixels", file)[0] == 404


@pytest.mark.parametrize("path", ["/", "/v2/repository/index", "/metrics"])
def test_other_paths_tell_a_wrong_method(server: Any, path: str) -> None:
    status, headers, body = server.ask("PUT", path, b"")
    assert status == 405 and json.loads(body)["error"].startswith("PUT") and headers["Allow"]


def test_an_answer_is_sent_at_once(server: Any, support: Any) -> None:
    """Nagle's algorithm would add 40 ms to each answer on a connection that is kept open."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    seconds = []
    for _ in range(10):
        begin = time.monotonic()
        connection.request("POST", "/v2/models/tinybird/infer", support.jpeg(), {support.LENGTH: "0"})
        assert len(connection.getresponse().read()) > 100
        seconds.append(time.monotonic() - begin)
    connection.close()
    assert min(seconds[5:]) < 0.035
