"""What `config.pbtxt` says of each model of a Triton repository.

Triton's configuration is described in docs/user_guide/model_configuration.md of its `server` repository and
in `model_config.proto` of `common`; what the backends check, in `onnxruntime.cc`, `onnxruntime_utils.cc`,
`openvino.cc` and `openvino_utils.cc` of theirs. They compare the shapes of outputs exactly with what the
engine reports, so those come from a session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from zooc.ir.interface import Port, input_of
from zooc.ir.session import inferred_outputs
from zooc.package.exports.pbtxt import Enum, Message

__all__ = ["ONNXRUNTIME", "OPENVINO", "Serving", "ensemble_config", "network_config", "prelude_config"]

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
_TYPES = {"uint8": Enum("TYPE_UINT8"), "float32": Enum("TYPE_FP32")}


@dataclass(frozen=True, slots=True)
class Serving:
    """How Triton is to run a network.

    Attributes:
        backend: `onnxruntime` or `openvino`.
        batch: the most images in a batch; 0 runs each request alone, `None` is 8 in ONNX Runtime and 0 in
            OpenVINO, whose backend fills every batch up.
        preferred: batch sizes for which the batcher waits.
        delay: the longest that it waits, in microseconds.
        instances: how many batches run at a time.
        threads: of each instance; 0 for as many as the backend takes, all cores.
        preludes: how many images are preprocessed at a time, each in one thread.
    """

    backend: str = ONNXRUNTIME
    batch: int | None = None
    preferred: tuple[int, ...] = ()
    delay: int = 0
    instances: int = 1
    threads: int = 0
    preludes: int = 2

    @property
    def batches(self) -> int:
        """The most images in a batch of a network whose batch is free."""
        return (0 if self.backend == OPENVINO else 8) if self.batch is None else self.batch


def prelude_config(name: str, model: onnx.ModelProto, shape: Sequence[int], serving: Serving) -> Message:
    """Return the configuration of a prelude, which is warmed up with an image of this shape."""
    source = input_of(model)
    return {
        "name": name,
        "backend": ONNXRUNTIME,
        "max_batch_size": 0,
        "input": _ports([source]),
        "output": _ports(inferred_outputs(model)),
        "instance_group": _instances(serving.preludes),
        "parameters": _parameters({"intra_op_thread_count": 1}),
        "model_warmup": [_warmup("image", source, shape, 1)],
    }


def network_config(
    name: str, model: onnx.ModelProto, labels: Mapping[str, str], serving: Serving, *, free: bool
) -> Message:
    """Return the configuration of a network, which runs in batches where its batch is `free`, else as it is.

    Args:
        name: of Triton's model.
        model: the network, behind the prelude if there is one.
        labels: files of class names by output.
        serving: how to run it.
        free: whether it takes batches of any size.
    """
    source = input_of(model)
    most = serving.batches if free else 0
    one = tuple(size or 1 for size in source.sizes)
    config: dict[str, Any] = {
        "name": name,
        "backend": serving.backend,
        "max_batch_size": most,
        "default_model_filename": "model.onnx",
        "input": _ports([source], batched=most > 0),
        "output": _ports(inferred_outputs(model), labels, batched=most > 0),
        "instance_group": _instances(serving.instances),
        "parameters": _parameters(_threads(serving, most)),
    }
    if most > 0:
        preferred = {"preferred_batch_size": list(serving.preferred)} if serving.preferred else {}
        config["dynamic_batching"] = {**preferred, "max_queue_delay_microseconds": serving.delay}
        config["model_warmup"] = [
            _warmup(f"batch of {batch}", source, one[1:], batch) for batch in sorted({1, most})
        ]
    else:
        config["model_warmup"] = [_warmup("request", source, one, 1)]
    return config


def ensemble_config(
    name: str,
    steps: tuple[str, str],
    prelude: onnx.ModelProto,
    network: onnx.ModelProto,
    labels: Mapping[str, str],
) -> Message:
    """Return the configuration of prelude and network, called `steps`, one after the other."""
    outputs = inferred_outputs(network)
    tensors = ((input_of(prelude),), inferred_outputs(prelude), outputs)
    return {
        "name": name,
        "platform": "ensemble",
        "max_batch_size": 0,
        "input": _ports(tensors[0]),
        "output": [{**port, "dims": [-1, *port["dims"][1:]]} for port in _ports(outputs, labels)],
        "ensemble_scheduling": {
            "step": [
                {
                    "model_name": step,
                    "model_version": -1,
                    "input_map": [{"key": port.name, "value": port.name} for port in tensors[index]],
                    "output_map": [{"key": port.name, "value": port.name} for port in tensors[index + 1]],
                }
                for index, step in enumerate(steps)
            ]
        },
    }


def _ports(
    ports: Sequence[Port], labels: Mapping[str, str] | None = None, *, batched: bool = False
) -> list[dict[str, Any]]:
    files = labels or {}
    return [
        {
            "name": port.name,
            "data_type": _TYPES[port.dtype],
            "dims": [size or -1 for size in port.sizes[1 if batched else 0 :]],
            **({"label_filename": files[port.name]} if port.name in files else {}),
        }
        for port in ports
    ]


def _instances(count: int) -> list[Message]:
    return [{"count": count, "kind": Enum("KIND_CPU")}]


def _threads(serving: Serving, most: int) -> dict[str, object]:
    """The backend's parameters; OpenVINO counts threads over all of its streams."""
    if serving.backend == ONNXRUNTIME:
        return {"intra_op_thread_count": serving.threads}
    threads = {"INFERENCE_NUM_THREADS": serving.threads * serving.instances} if serving.threads else {}
    padding = {"ENABLE_BATCH_PADDING": "YES"} if most > 0 else {}
    return {"NUM_STREAMS": serving.instances, **threads, **padding}


def _parameters(values: Mapping[str, object]) -> list[Message]:
    return [{"key": key, "value": {"string_value": str(value)}} for key, value in values.items()]


def _warmup(name: str, port: Port, shape: Sequence[int], batch: int) -> Message:
    zeros = {"data_type": _TYPES[port.dtype], "dims": list(shape), "zero_data": True}
    return {"name": name, "batch_size": batch, "inputs": [{"key": port.name, "value": zeros}]}
