"""A model repository of NVIDIA Triton Inference Server.

A package that takes images becomes three models. `NAME_prelude` takes one image of any size and gives
the network's pixels, `NAME_network` takes pixels in batches, which Triton's dynamic batcher forms across
requests, and `NAME` is the ensemble of both, which takes an image. The prelude always runs in ONNX Runtime,
whose pixels are exact. A package that takes tensors is one model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx

from zooc.diagnostics.diagnostic import ZoocError, error
from zooc.ir.stages import split_prelude
from zooc.package.exports.pbtxt import Message, pbtxt
from zooc.package.exports.reading import Compiled
from zooc.package.exports.triton_config import Serving, ensemble_config, network_config, prelude_config
from zooc_runtime.package.heads import Head

__all__ = ["TRITON", "model_repository", "not_of_a_repository"]

TRITON = "26.09"
"""The release of Triton that is assumed: ONNX Runtime 1.30.0 and OpenVINO 2026.3.1, from `build.py`."""

_MARK = "zooc.json"
_CONFIG, _MODEL = "config.pbtxt", "1/model.onnx"


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
    name, whole = package.name, onnx.load_model_from_string(package.graph)
    labels = _labels(package.heads)
    label_files = {f"labels_{index}.txt": text for index, text in enumerate(labels.values())}
    named = dict(zip(labels, label_files, strict=True))
    prelude = package.manifest["stages"]["prelude"]
    batch = package.manifest["model"]["input"]["shape"][0]
    free = batch is None
    if prelude is None:
        config = network_config(name, whole, named, serving, free=free)
        return {name: {_CONFIG: _text(config), _MODEL: package.graph, **label_files}}
    if not free and batch > 1:
        raise _whole_batches(name, batch)
    first, rest = split_prelude(whole, prelude["output"])
    steps = (f"{name}_prelude", f"{name}_network")
    configs = (
        prelude_config(steps[0], first, _golden_shape(package), serving),
        network_config(steps[1], rest, named, serving, free=free),
        ensemble_config(name, steps, first, rest, named),
    )
    return {
        steps[0]: {_CONFIG: _text(configs[0]), _MODEL: first.SerializeToString()},
        steps[1]: {_CONFIG: _text(configs[1]), _MODEL: rest.SerializeToString(), **label_files},
        # Triton wants the folder of a version, also where it holds no file.
        name: {_CONFIG: _text(configs[2]), "1/.gitkeep": b"", **label_files},
    }


def _text(config: Message) -> bytes:
    return pbtxt(config).encode("ascii")


def _whole_batches(name: str, batch: int) -> ZoocError:
    message = f"{name} takes images in batches of exactly {batch}, and Triton passes on one image at a time"
    hint = "compile the network with a free batch: `input [batch, channels, height, width]`"
    return ZoocError(error("Z0823", message, hint=hint))


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


def _one_line(label: str) -> str:
    """The label without control characters: a line end begins another label, and NUL ends one in Triton."""
    return "".join(" " if ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 else char for char in label)
