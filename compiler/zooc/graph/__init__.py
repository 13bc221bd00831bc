"""ONNX graph work, one pass a file; see `docs/design/architecture.md`."""

from zooc.graph.assemble import assemble, build_postlude
from zooc.graph.fold_normalization import Folded, fold_normalization
from zooc.graph.nv12 import as_image_input
from zooc.graph.pads_of_all_axes import names_of_axes_left
from zooc.graph.prelude import ResampleOrder, build_prelude, resample_order_of_pillow
from zooc.graph.simplify import simplify

__all__ = [
    "Folded",
    "ResampleOrder",
    "as_image_input",
    "assemble",
    "build_postlude",
    "build_prelude",
    "fold_normalization",
    "names_of_axes_left",
    "resample_order_of_pillow",
    "simplify",
]
