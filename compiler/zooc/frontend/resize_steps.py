"""The steps that resize, as Pillow or as OpenCV does, and fixed crops."""

from __future__ import annotations

from zooc.deployment import Crop, Interpolation, Letterbox, Resize, ResizeCv
from zooc.diagnostics import error
from zooc.frontend import ast
from zooc.frontend.model_block import MAX_SIDE
from zooc.frontend.preprocess_flow import Action, Pixel
from zooc.frontend.reading import Reader
from zooc.frontend.step_values import read_fill, read_size
from zooc.frontend.vocabulary import INTERPOLATIONS, LIBRARIES

__all__ = ["read_crop", "read_letterbox", "read_resize"]

Arguments = dict[str, ast.Expr]

_YOLO_GREY = (114, 114, 114)


def read_resize(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    """`Resize(n | [h, w], interpolation=, max_size=, library=)`."""
    size = read_size(bound["size"], "the size", reader)
    filters = _filters(bound, reader, library="pillow")
    max_size = None
    if "max_size" in bound:
        max_size = _max_size(bound["max_size"], size, reader)
        if max_size is None:
            return None
    if size is None or filters is None:
        return None
    interpolation, library = filters
    if library == "pillow":
        return Pixel(Resize(size, _interpolation(interpolation), max_size, call.span))
    if isinstance(size, int):
        message = "OpenCV resizes to a given height and width, and this gives the shorter side only"
        hint = f"write `Resize([{size}, {size}], library=opencv)`, or leave `library` out"
        reader.report(error("Z0314", message, bound["size"].span, hint=hint))
        return None
    return Pixel(ResizeCv(*size, call.span))


def read_letterbox(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    """`Letterbox(n | [h, w], interpolation=, library=, fill=)`."""
    size = read_size(bound["size"], "the size", reader)
    filters = _filters(bound, reader, library="opencv")
    fill = read_fill(bound["fill"], reader) if "fill" in bound else _YOLO_GREY
    if size is None or filters is None or fill is None:
        return None
    height, width = size if isinstance(size, tuple) else (size, size)
    interpolation, library = filters
    if library == "opencv":
        return Pixel(Letterbox(height, width, "bilinear_cv", fill, call.span))
    return Pixel(Letterbox(height, width, _interpolation(interpolation), fill, call.span))


def read_crop(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    """`Crop(top, left, height, width)`, in the order of torchvision's `functional.crop`."""
    top, left = (reader.integer(bound[name], f"`{name}`", 0, MAX_SIDE) for name in ("top", "left"))
    height, width = (reader.integer(bound[name], f"`{name}`", 1, MAX_SIDE) for name in ("height", "width"))
    if top is None or left is None or height is None or width is None:
        return None
    return Pixel(Crop(left, top, height, width, call.span))


def _filters(bound: Arguments, reader: Reader, *, library: str) -> tuple[str, str] | None:
    """Interpolation and library, which must go together; `library` is the default."""
    interpolation: str | None = "bilinear"
    chosen: str | None = library
    if "library" in bound:
        chosen = reader.word(bound["library"], LIBRARIES, "library")
    if "interpolation" in bound:
        interpolation = reader.word(bound["interpolation"], INTERPOLATIONS, "interpolation")
    if interpolation is None or chosen is None:
        return None
    if chosen == "opencv" and interpolation != "bilinear":
        message = f"OpenCV's `{interpolation}` is not available, only its `bilinear`"
        hint = "write `library=pillow`" if library == "opencv" else "leave out `library`: Pillow has it"
        reader.report(error("Z0314", message, bound["interpolation"].span, hint=hint))
        return None
    return interpolation, chosen


def _max_size(node: ast.Expr, size: int | tuple[int, int] | None, reader: Reader) -> int | None:
    max_size = reader.integer(node, "`max_size`", 1, MAX_SIDE)
    if max_size is None or size is None:
        return None
    if isinstance(size, tuple):
        message = "`max_size` needs a single `size`, not a pair"
        hint = "delete `max_size`; both sides are given already"
        reader.report(error("Z0110", message, node.span, hint=hint))
        return None
    if max_size <= size:
        message = f"`max_size` bounds the longer side and must be above `size`, {size}; found {max_size}"
        reader.report(error("Z0110", message, node.span, hint="delete it, or make it larger"))
        return None
    return max_size


def _interpolation(word: str) -> Interpolation:
    return word  # type: ignore[return-value]
