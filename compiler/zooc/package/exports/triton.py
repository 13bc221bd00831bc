"""A model repository of NVIDIA Triton Inference Server.

A package that takes images becomes three models. `NAME_prelude` takes one image of any size and gives
the network's pixels, `NAME_network` takes pixels in batches, which Triton's dynamic batcher forms across
requests, and `NAME` is the ensemble of both, which takes an image. The prelude always runs in ONNX Runtime,
whose pixels are exact. A package that takes tensors is one model.

Triton's configuration is described in docs/user_guide/model_configuration.md of its `server` repository and
in `model_config.proto` of `common`; what the backends check, in `onnxruntime.cc`, `onnxruntime_utils.cc`,
`openvino.cc` and `openvino_utils.cc` of theirs. They compare the shapes of outputs exactly with what the
engine reports, so those come from a session.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.interface import Port, input_of, inputs_of
from zooc.ir.session import inferred_outputs
from zooc.ir.stages import split_prelude
from zooc.package.exports.pbtxt import Enum, Message, pbtxt
from zooc.package.exports.reading import Compiled
from zooc_runtime.package.heads import Head

__all__ = ["ONNXRUNTIME", "OPENVINO", "TRITON", "Serving", "model_repository", "not_of_a_repository"]

TRITON = "26.09"
"""The release of Triton that is assumed: ONNX Runtime 1.30.0 and OpenVINO 2026.3.1, from `build.py`."""

ONNXRUNTIME, OPENVINO = "onnxruntime", "openvino"
_MARK = "zooc.json"
_MODEL = "1/model.onnx"
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


def model_repository(packages: Sequence[Compiled], serving: Serving) -> dict[str, bytes]:
    """Return the repository's files by relative path.

    Raises:
        ZoocError: Z0823, a network that takes only whole batches of images; Z0824, two packages whose models
            would have the same name.
    """
    files: dict[str, bytes] = {}
    models: dict[str, str] = {}
    described = []
    for package in packages:
        for model, content in _models(package, serving).items():
            if model in models:
                raise _same_name(model, models[model], package.name)
            models[model] = package.name
            files |= {f"{model}/{path}": data for path, data in content.items()}
        described.append({key: package.manifest[key] for key in ("name", "version", "zooc")})
    mark = {"triton": TRITON, "packages": described, "models": sorted(models)}
    return files | {_MARK: f"{json.dumps(mark, indent=2)}\n".encode("ascii")}


def not_of_a_repository(directory: Path) -> str | None:
    """Return the name of an entry that no exported repository has, `None` for one that this module made."""
    try:
        models = set(json.loads((directory / _MARK).read_text("utf-8"))["models"])
    except (OSError, ValueError, KeyError, TypeError):
        return next((entry.name for entry in sorted(directory.iterdir())), _MARK)
    return next((p.name for p in sorted(directory.iterdir()) if p.name not in {_MARK, *models}), None)


def _same_name(model: str, first: str, second: str) -> ZoocError:
    what = f"{first} twice" if first == second else f"{first} and {second}"
    hint = "export them into repositories of their own, or compile one with another `package { name ... }`"
    return ZoocError(error("Z0824", f"{what}: both would be the model {model}", hint=hint))


def _models(package: Compiled, serving: Serving) -> dict[str, dict[str, bytes]]:
    """The package's models: the files of each by path within its folder."""
    whole = onnx.load_model_from_string(package.graph)
    labels = _labels(package.heads)
    prelude = package.manifest["stages"]["prelude"]
    batch = package.manifest["model"]["input"]["shape"][0]
    free = batch is None
    if prelude is None:
        return {package.name: _network(package.name, whole, package.graph, labels, serving, free=free)}
    if not free and batch > 1:
        raise _whole_batches(package.name, batch)
    first, rest = split_prelude(whole, prelude["output"])
    names = (f"{package.name}_prelude", f"{package.name}_network")
    return {
        names[0]: _prelude(names[0], first, _golden_shape(package), serving),
        names[1]: _network(names[1], rest, rest.SerializeToString(), labels, serving, free=free),
        package.name: _ensemble(package.name, names, first, rest, labels),
    }


def _whole_batches(name: str, batch: int) -> ZoocError:
    message = f"{name} takes images in batches of exactly {batch}, and Triton passes on one image at a time"
    hint = "compile the network with a free batch: `input [batch, channels, height, width]`"
    return ZoocError(error("Z0823", message, hint=hint))


def _prelude(name: str, model: onnx.ModelProto, shape: Sequence[int], serving: Serving) -> dict[str, bytes]:
    source = input_of(model)
    config: dict[str, Any] = {
        "name": name,
        "backend": ONNXRUNTIME,
        "max_batch_size": 0,
        "input": _ports([source]),
        "output": _ports(inferred_outputs(model)),
        "instance_group": _instances(serving.preludes),
        "parameters": _parameters({"intra_op_thread_count": 1}),
        "model_warmup": [_warmup("image", source, shape, 1)],
    }
    return {"config.pbtxt": pbtxt(config).encode("ascii"), _MODEL: model.SerializeToString()}


def _network(
    name: str,
    model: onnx.ModelProto,
    graph: bytes,
    labels: Mapping[str, bytes],
    serving: Serving,
    *,
    free: bool,
) -> dict[str, bytes]:
    """The model that runs in batches where the network's batch is `free`, else as it is."""
    (source,) = inputs_of(model)
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
    return {"config.pbtxt": pbtxt(config).encode("ascii"), _MODEL: graph, **_label_files(labels)}


def _ensemble(
    name: str,
    steps: tuple[str, str],
    prelude: onnx.ModelProto,
    network: onnx.ModelProto,
    labels: Mapping[str, bytes],
) -> dict[str, bytes]:
    outputs = inferred_outputs(network)
    tensors = ((input_of(prelude),), inferred_outputs(prelude), outputs)
    config: dict[str, Any] = {
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
    # Triton wants the folder of a version, also where it holds no file.
    return {"config.pbtxt": pbtxt(config).encode("ascii"), "1/.gitkeep": b"", **_label_files(labels)}


def _ports(
    ports: Sequence[Port], labels: Mapping[str, bytes] | None = None, *, batched: bool = False
) -> list[dict[str, Any]]:
    files = {name: f"labels_{index}.txt" for index, name in enumerate(labels or {})}
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


def _golden_shape(package: Compiled) -> tuple[int, ...]:
    """The shape of an image that the preprocessing takes."""
    goldens = package.manifest.read(package.manifest["goldens"]["file"])
    with np.load(io.BytesIO(goldens), allow_pickle=False) as arrays:
        return tuple(arrays[f"{package.manifest['stages']['prelude']['input']}_0"].shape)


def _labels(heads: Sequence[Head]) -> dict[str, bytes]:
    """The text of label files by the output whose classes they name, for the classification extension.

    A score that tells two named classes apart has none: one number would always get the first name.
    """
    return {
        output: "".join(f"{_one_line(label)}\n" for label in head.labels).encode("utf-8", "replace")
        for output, head in _outputs(heads)
        if head.labels and not head.named_sides
    }


def _outputs(heads: Sequence[Head]) -> Iterator[tuple[str, Head]]:
    for head in heads:
        yield head.name or ("logits" if head.activation == "none" else "probabilities"), head


def _label_files(labels: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"labels_{index}.txt": text for index, text in enumerate(labels.values())}


def _one_line(label: str) -> str:
    """The label without control characters: a line end begins another label, and NUL ends one in Triton."""
    return "".join(" " if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 else char for char in label)
