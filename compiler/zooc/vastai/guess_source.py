"""Guesses from names: which library a checkpoint came from, and whether a network is a classifier at all."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from zooc.deployment import ModelSource

__all__ = ["guess_source", "other_task", "package_name", "stem_of"]

_LIBRARIES = {"timm": "timm", "torchvision": "torchvision", "torch": "torchvision", "official": "official"}
_OFFICIAL = re.compile(r"(resnest(50|101|200|269)|iresnet(50|101|152|200))$")
_SUFFIXES = (".onnx", ".torchscript.pt", ".torchscript", ".pt", ".pth", ".h5", ".pb", ".safetensors")
_SIZES = re.compile(r"[-_](sim|fp16|fp32|int8|\d+(_\d+)*)$")
_TASKS = {
    "detection": ("yolo", "detr", "rcnn", "retinaface", "ssd_", "fcos", "centernet", "grounding"),
    "segmentation": (
        "unet",
        "u2net",
        "stdc",
        "deeplab",
        "segformer",
        "bisenet",
        "isnet",
        "mask2former",
        "r2u_net",
    ),
    "super-resolution": ("ecbsr", "edsr", "esrgan", "rcan", "gpen"),
    "text detection or recognition": ("ppocr", "pp-ocr", "dbnet", "_rec_", "pan_", "_pan", "crnn"),
    "keypoint": ("pose", "pfld", "hih", "wflw", "landmark"),
    "image-to-vector": ("facenet", "arcface", "reid"),
}
_DATA = {
    "detection": ("det_coco", "det_data", "voc"),
    "segmentation": ("cityscapes", "dsb2018", "autoportraitmatting"),
    "super-resolution": ("div2k",),
    "text detection or recognition": ("icdar", "text_rec"),
    "keypoint": ("wflw", "hrnet_pose"),
}


def stem_of(checkpoint: str) -> str:
    """Return the checkpoint's name without folders, suffixes and export tags."""
    name = PurePosixPath(checkpoint.replace("\\", "/")).name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def guess_source(family: str, checkpoint: str) -> ModelSource | None:
    """Return the model that the names give, `None` if that is not certain.

    Args:
        family: the configuration's name, or the part of a vdsp file's name before the dash; it must begin
            with a library's name.
        checkpoint: the checkpoint's path or the model's name.
    """
    library = _LIBRARIES.get(re.split(r"[-_]", family, maxsplit=1)[0].lower())
    name = stem_of(checkpoint)
    name = _SIZES.sub("", name) if library == "official" else name
    if library is None or not re.fullmatch(r"[A-Za-z_]\w*", name, flags=re.ASCII):
        return None
    if library == "official" and not _OFFICIAL.match(name):
        return None
    return ModelSource(library, name)  # type: ignore[arg-type]


def other_task(*words: str | None) -> str | None:
    """Return the task that a name, a checkpoint or a data folder tells, if it is not classification."""
    text = " ".join(word.lower() for word in words if word)
    for table in (_TASKS, _DATA):
        for task, parts in table.items():
            if any(part in text for part in parts):
                return task
    return None


def package_name(name: str) -> str:
    """Return a Python identifier that reads like `name`."""
    word = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "imported"
    return f"net_{word}" if word[0].isdigit() else word
