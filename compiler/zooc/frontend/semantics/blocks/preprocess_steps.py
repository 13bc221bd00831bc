"""The steps that resize, as Pillow, OpenCV or torch does, and fixed crops."""

from __future__ import annotations

from collections.abc import Sequence

from zooc.diagnostics.diagnostic import error
from zooc.frontend.semantics.blocks.image_flow import Action, Pixel
from zooc.frontend.semantics.constants import Value, describe
from zooc.frontend.semantics.values import Reader
from zooc.frontend.syntax import ast
from zooc.frontend.syntax.vocabulary import INTERPOLATIONS, LIBRARIES
from zooc.support.limits import MAX_SIDE
from zooc_runtime.preprocessing.steps import (
    Crop,
    Interpolation,
    Letterbox,
    Resize,
    ResizeCv,
    ResizeTorch,
    TorchInterpolation,
)

__all__ = [
    "read_crop",
    "read_fill",
    "read_letterbox",
    "read_numbers",
    "read_padding",
    "read_resize",
    "read_size",
]

Arguments = dict[str, ast.Expr]

_YOLO_GREY = (114, 114, 114)
_OF_TORCH = ("bilinear", "bicubic")


def read_resize(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    """Read `Resize(n | [h, w], interpolation=, max_size=, library=, antialias=)`."""
    size = read_size(bound["size"], "the size", reader)
    filters = _filters(bound, reader, library="pillow")
    max_size = None
    if "max_size" in bound:
        max_size = _max_size(bound["max_size"], size, reader)
        if max_size is None:
            return None
    antialias: bool | None = True
    if "antialias" in bound:
        antialias = _antialias(bound["antialias"], filters, reader)
    if size is None or filters is None or antialias is None:
        return None
    interpolation, library = filters
    if library == "torch":
        return Pixel(ResizeTorch(size, _of_torch(interpolation), max_size, antialias, call.span))
    if library == "pillow":
        return Pixel(Resize(size, _interpolation(interpolation), max_size, call.span))
    if isinstance(size, int):
        message = "OpenCV resizes to a given height and width, but only the shorter side is given"
        hint = f"write `Resize([{size}, {size}], library=opencv)`, or leave `library` out"
        reader.report(error("Z0314", message, bound["size"].span, hint=hint))
        return None
    return Pixel(ResizeCv(*size, call.span))


def read_letterbox(call: ast.Call, bound: Arguments, reader: Reader) -> Action | None:
    """Read `Letterbox(n | [h, w], interpolation=, library=, fill=)`."""
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
    """Read `Crop(top, left, height, width)`, in the order of torchvision's `functional.crop`."""
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
        hint = (
            "write `library=pillow`"
            if library == "opencv"
            else "leave out `library`; Pillow has this interpolation"
        )
        reader.report(error("Z0314", message, bound["interpolation"].span, hint=hint))
        return None
    if chosen == "torch" and library == "opencv":
        message = "`Letterbox` is not available with torch's resize, only with OpenCV's and Pillow's"
        hint = "leave out `library`, or write `library=pillow`"
        reader.report(error("Z0322", message, bound["library"].span, hint=hint))
        return None
    if chosen == "torch" and interpolation not in _OF_TORCH:
        message = f"torch's `{interpolation}` is not available, only its `bilinear` and `bicubic`"
        hint = "leave out `library` for Pillow's, which gives other pixels"
        reader.report(error("Z0322", message, bound["interpolation"].span, hint=hint))
        return None
    return interpolation, chosen


def _antialias(node: ast.Expr, filters: tuple[str, str] | None, reader: Reader) -> bool | None:
    """Read a setting that only torch's resize has; `filters` is `None` after an error in them."""
    word = reader.word(node, ("true", "false"), "setting of antialias")
    if word is None:
        return None
    if filters is not None and filters[1] != "torch":
        does = "Pillow's resize always" if filters[1] == "pillow" else "OpenCV's resize never"
        message = f"{does} antialiases: `antialias` goes with `library=torch`"
        hint = "delete it, or write `library=torch`"
        reader.report(error("Z0323", message, node.span, hint=hint))
        return None
    return word == "true"


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


def _of_torch(word: str) -> TorchInterpolation:
    return word  # type: ignore[return-value]


def read_size(node: ast.Expr, what: str, reader: Reader) -> int | tuple[int, int] | None:
    """Read a size: `n`, or `[height, width]`."""
    if not _is_list(node, reader):
        return reader.integer(node, what, 1, MAX_SIDE)
    items = reader.items(node, what, "`[height, width]`")
    if items is None:
        return None
    if len(items) != 2:
        message = f"{what} is one number or a pair, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint="write `224` or `[height, width]`"))
        return None
    height = reader.integer(items[0], "the height", 1, MAX_SIDE)
    width = reader.integer(items[1], "the width", 1, MAX_SIDE)
    return None if height is None or width is None else (height, width)


def read_padding(node: ast.Expr, reader: Reader) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom."""
    if not _is_list(node, reader):
        n = reader.integer(node, "the padding", 0, MAX_SIDE)
        return None if n is None else (n, n, n, n)
    form = "`[left_right, top_bottom]` or `[left, top, right, bottom]`"
    items = reader.items(node, "the padding", form)
    if items is None:
        return None
    if len(items) not in (2, 4):
        message = f"the padding is one number, a pair or four, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint=f"write {form}"))
        return None
    sizes = _integers(items, "the padding", 0, MAX_SIDE, reader)
    if sizes is None:
        return None
    left, top = sizes[:2]
    return (left, top, left, top) if len(sizes) == 2 else (left, top, sizes[2], sizes[3])


def read_fill(node: ast.Expr, reader: Reader) -> tuple[int, int, int] | None:
    """Return red, green and blue."""
    if not _is_list(node, reader):
        grey = reader.integer(node, "the fill", 0, 255)
        return None if grey is None else (grey, grey, grey)
    items = reader.items(node, "the fill", "`[red, green, blue]`")
    if items is None:
        return None
    if len(items) != 3:
        message = f"the fill is one number or three, found {len(items)}"
        reader.report(error("Z0114", message, node.span, hint="write `[red, green, blue]`"))
        return None
    colour = _integers(items, "the fill", 0, 255, reader)
    return None if colour is None else (colour[0], colour[1], colour[2])


def read_numbers(node: ast.Expr, what: str, reader: Reader) -> float | tuple[float, ...] | None:
    """Return a list of numbers, one for each channel, or one number for all."""
    if not _is_list(node, reader):
        value = reader.value(node)
        if value is None:
            return None
        if not isinstance(value.data, int | float):
            message = f"{what} must be a number or a list of one per channel, found {describe(value)}"
            reader.report(error("Z0109", message, value.span))
            return None
        return float(value.data)
    items = reader.items(node, what, "`[0.485, 0.456, 0.406]`")
    if items is None:
        return None
    numbers = [reader.number(item, what) for item in items]
    known = [number for number in numbers if number is not None]
    return tuple(known) if len(known) == len(numbers) else None


def _is_list(node: ast.Expr, reader: Reader) -> bool:
    while isinstance(node, ast.Group):
        node = node.inner
    if isinstance(node, ast.ListExpr):
        return True
    known = reader.scope.values.get(node.word or "") if isinstance(node, ast.Reference) else None
    return isinstance(known, Value) and isinstance(known.data, tuple)


def _integers(
    items: Sequence[ast.Expr | Value], what: str, low: int, high: int, reader: Reader
) -> list[int] | None:
    numbers = [reader.integer(item, what, low, high) for item in items]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None
