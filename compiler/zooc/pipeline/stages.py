"""The names of a compile's stages, for all who list or name them."""

from __future__ import annotations

__all__ = ["STAGES"]

STAGES = (
    "analyze",
    "load_model",
    "simplify_graph",
    "fuse_preprocessing",
    "prepare_for_int8",
    "calibrate_ranges",
    "quantize_network",
    "hold_contract",
    "assemble_graph",
    "hold_speed",
    "check_result",
    "emit",
)
"""A compile's stages in order; it can be stopped before any of them."""
