"""What `load` and the command line are told of providers and devices: read, and refused where mistyped."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pytest

from zooc_runtime.errors import PackageError
from zooc_runtime.inference.options import add_engine_options, engine_arguments, placement_of
from zooc_runtime.inference.placement import DEFAULT, Placement, Provider, read_placement

CUDA = "CUDAExecutionProvider"


@pytest.mark.parametrize("name", ["cuda", "CUDA", CUDA, "cudaexecutionprovider"])
def test_a_provider_has_a_full_and_a_short_name(name: str) -> None:
    assert read_placement("auto", [name]) == ("onnxruntime", Placement((Provider(CUDA),)))


def test_a_pair_gives_options_as_text_in_one_order() -> None:
    _, placement = read_placement("onnxruntime", [("cuda", {"use_tf32": True, "device_id": 1}), "CPU"])
    first, second = placement.providers
    assert first.options == (("device_id", "1"), ("use_tf32", "True"))
    assert (second.name, second.options) == ("CPUExecutionProvider", ())


def test_providers_that_nobody_knows_yet_are_left_to_onnx_runtime() -> None:
    _, placement = read_placement("auto", ["NewExecutionProvider"])
    assert placement.providers == (Provider("NewExecutionProvider"),)


@pytest.mark.parametrize(
    "device", ["GPU", "gpu.1", "NPU", "AUTO", "AUTO:GPU,CPU", "HETERO:gpu,cpu", "AUTO:-CPU"]
)
def test_a_device_is_of_openvino(device: str) -> None:
    assert read_placement("auto", device=device) == ("openvino", Placement(device=device.upper()))


def test_nothing_given_leaves_all_as_it_was() -> None:
    assert read_placement("auto") == ("auto", DEFAULT)
    assert DEFAULT.on_cpu


def test_a_placement_survives_json_and_being_an_argument() -> None:
    _, placement = read_placement("auto", [("cuda", {"device_id": 1}), "cpu"], fallback=True)
    assert Placement.from_json(json.loads(json.dumps(asdict(placement)))) == placement
    assert read_placement("auto", **placement.arguments) == ("onnxruntime", placement)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"providers": ["cdua"]}, 'unknown execution provider "cdua"; did you mean "CUDAExecutionProvider"'),
        (
            {"providers": ["TensorRTExecutionProvidr"]},
            'unknown .* "TensorRTExecutionProvidr"; did you mean "TensorrtExecutionProvider"',
        ),
        ({"providers": ["zzz"]}, "known are CPUExecutionProvider, CUDAExecutionProvider"),
        ({"providers": "cuda"}, "providers is 'cuda'; a list is expected"),
        ({"providers": {"cuda": {}}}, "a list is expected"),
        ({"providers": []}, "providers is empty"),
        ({"providers": ["cuda", CUDA]}, "CUDAExecutionProvider is among the providers twice"),
        ({"providers": [("cuda", "device_id=1")]}, "neither a name nor a pair"),
        ({"providers": [3]}, "neither a name nor a pair"),
        ({"providers": ["cuda"], "device": "GPU"}, "give only one of them"),
        ({"providers": ["cuda"], "engine": "openvino"}, 'with engine="openvino" give device="GPU"'),
        ({"device": "GPU", "engine": "onnxruntime"}, "give providers="),
        ({"device": "GPUU"}, 'unknown device "GPUU"; did you mean "GPU"'),
        ({"device": "AUTO:GUP,CPU"}, 'unknown device "AUTO:GUP,CPU"; did you mean "GPU"'),
        ({"device": "tpux"}, 'unknown device "tpux"; '),
        ({"device": 0}, "device is 0; a name is expected"),
        ({"fallback": True}, "give providers with it"),
    ],
)
def test_a_mistake_is_named_with_its_remedy(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        read_placement(**{"engine": "auto", **arguments})


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_engine_options(parser)
    return parser.parse_args(arguments)


def test_the_command_line_gives_what_load_takes() -> None:
    options = _parsed(
        [
            *("--providers", "cuda, cpu"),
            *("--provider-option", "CUDAExecutionProvider.device_id=1"),
            *("--provider-option", "cuda.cudnn_conv_algo_search=HEURISTIC"),
        ]
    )
    assert engine_arguments(options)["providers"] == [
        ("cuda", {"device_id": "1", "cudnn_conv_algo_search": "HEURISTIC"}),
        ("cpu", {}),
    ]
    assert placement_of(_parsed(["--device", "GPU"])) == ("openvino", Placement(device="GPU"))
    assert placement_of(_parsed([])) == ("auto", DEFAULT)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--providers", "cdua"], 'did you mean "CUDAExecutionProvider"'),
        (["--providers", ","], "providers is empty"),
        (["--provider-option", "cuda.device_id=1"], "give --providers with it"),
        (["--providers", "cuda", "--provider-option", "device_id=1"], r"PROVIDER\.KEY=VALUE is expected"),
        (["--providers", "cuda", "--provider-option", "cuda.device_id"], r"PROVIDER\.KEY=VALUE is expected"),
        (["--providers", "cuda", "--provider-option", "cdua.device_id=1"], 'did you mean "cuda"'),
        (["--device", "GUP"], 'did you mean "GPU"'),
        (["--fallback"], "give providers with it"),
    ],
)
def test_a_mistyped_option_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(PackageError, match=message):
        placement_of(_parsed(arguments))
