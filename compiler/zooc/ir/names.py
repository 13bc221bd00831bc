"""Names that the compiled graph keeps for itself; nothing is imported for them."""

from __future__ import annotations

__all__ = ["RESERVED_TENSORS", "STAGE_PREFIXES"]

RESERVED_TENSORS = frozenset({"embeddings", "image", "input", "logits", "pixels", "probabilities"})
"""What the compiled graph calls its ends and the borders of its stages."""

STAGE_PREFIXES = ("prelude/", "postlude/")
"""With which the names of nodes and weights around the body begin."""
