"""The words of vdsp_params files: operations, keys, and what their values mean."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "COLORS",
    "FORMATS",
    "KEYS",
    "NORMALIZATIONS",
    "OPERATIONS",
    "RESIZE_TYPES",
    "UNSUPPORTED",
    "Geometry",
]


@dataclass(frozen=True)
class Geometry:
    """What an operation does to the picture, and whether it begins with an NV12 frame."""

    kind: str
    nv12: bool = False


OPERATIONS = {
    "FUSION_OP_RGB_RESIZE_CVTCOLOR_CROP_NORM_TENSOR": Geometry("crop"),
    "FUSION_OP_RGB_RESIZE_CVTCOLOR_NORM_TENSOR": Geometry("resize"),
    "FUSION_OP_RGB_LETTERBOX_CVTCOLOR_NORM_TENSOR": Geometry("letterbox"),
    "FUSION_OP_RGB_LETTERBOX_CVTCOLOR_NORM_TENSOR_EXT": Geometry("letterbox_ext"),
    "FUSION_OP_RGB_CROP_RESIZE_CVTCOLOR_NORM_TENSOR": Geometry("crop_first"),
    "FUSION_OP_YUV_NV12_CVTCOLOR_RESIZE_CROP_NORM_TENSOR": Geometry("crop", nv12=True),
    "FUSION_OP_YUV_NV12_CVTCOLOR_RESIZE_NORM_TENSOR": Geometry("resize", nv12=True),
    "FUSION_OP_YUV_NV12_CVTCOLOR_LETTERBOX_NORM_TENSOR": Geometry("letterbox", nv12=True),
}

UNSUPPORTED = {
    "BERT_": "embeds text, and this works on images only",
    "FUSION_OP_YUV_NV12_": "scales or cuts the YUV planes before the conversion to RGB, which gives other "
    "pixels than converting first; use the operation with CVTCOLOR in front",
    "SINGLE_OP_": "is one operation, and not a whole preprocessing",
    "MEM_COPY": "is no preprocessing",
    "CUSTOMIZED_OP": "is an operation of its own that only the accelerator has",
}
"""Beginnings of operations that exist but have no counterpart here, with the reason."""

NORMALIZATIONS: dict[str, tuple[float, tuple[float, float] | None]] = {
    "DIV255_MINUSMEAN_DIVSTD": (255.0, None),
    "MINUSMEAN_DIVSTD": (1.0, None),
    "DIV255": (255.0, (0.0, 1.0)),
    "DIV127.5_MINUSONE": (127.5, (1.0, 1.0)),
    "DIV1275_MINUSONE": (127.5, (1.0, 1.0)),
    "EQUAL": (1.0, (0.0, 1.0)),
}
"""Divisor; mean and std, `None` where the file's own hold. Both spellings of 127.5 are in use."""

RESIZE_TYPES = {
    "BILINEAR_CV": "bilinear_cv",
    "BILINEAR": "bilinear_cv",
    "BILINEAR_PILLOW": "bilinear",
    "BICUBIC_PILLOW": "bicubic",
    "BOX_PILLOW": "box",
    "HAMMING_PILLOW": "hamming",
    "LANCZOS_PILLOW": "lanczos",
}
FORMATS = ("RGB_PLANAR", "BGR_PLANAR", "RGB888", "BGR888", "RGB_INTERLEAVE", "BGR_INTERLEAVE", "YUV_NV12")
COLORS = ("NO_CHANGE", "RGB2BGR", "BGR2RGB", "YUV2RGB_NV12", "YUV2BGR_NV12")
KEYS = (
    *("IimageFormat", "IimageWidth", "IimageHeight", "IimageWidthPitch", "IimageHeightPitch"),
    *("OimageFormat", "OimageWidth", "OimageHeight", "OimageWidthPitch", "OimageHeightPitch"),
    *("ResizeType", "ResizeWidth", "ResizeHeight", "CropX", "CropY", "CropWidth", "CropHeight"),
    *("Padding", "PaddingLeft", "PaddingTop", "PaddingRight", "PaddingBottom", "EdgePaddingType"),
    *("NormaType", "Mean", "Std", "ColorCvtCode", "Scale", "TensorType0"),
)
"""Keys of `OpConfig`; `Scale` and `TensorType0` describe the accelerator's tensor and have no effect here."""
