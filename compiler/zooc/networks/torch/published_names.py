"""The names of timm's and torchvision's models, read from their source files without importing torch.

Both register a model by a decorator above its function, and name published weights in dictionaries or
enumerations beside it; reading that takes a tenth of a second, importing the libraries several.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

from zooc.networks.torch.official_names import OFFICIAL

__all__ = ["published_names"]

_MODEL = re.compile(r"^@register_model(?:\(\))?\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_TIMM_TAG = re.compile(r"""^[^#\n]*?['"](\w+\.(?!untrained)\w+)['"]\s*:""", re.MULTILINE)


@functools.lru_cache(maxsize=3)
def published_names(kind: str) -> tuple[str, ...]:
    """Return the names that may follow `kind`, one of `timm`, `torchvision` and `official`, sorted.

    timm's have those with a tag of published weights among them, but for a few that timm makes in code. Empty
    where the library is not installed.
    """
    if kind == "official":
        return OFFICIAL
    names: set[str] = set()
    tagged: set[str] = set()
    for file in _sources(kind):
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        names |= set(_MODEL.findall(text))
        tagged |= set(_TIMM_TAG.findall(text))
    return tuple(sorted({*names, *(name for name in tagged if name.partition(".")[0] in names)}))


def _sources(kind: str) -> list[Path]:
    found = importlib.util.find_spec(kind)
    if found is None or found.origin is None:
        return []
    return sorted((Path(found.origin).parent / "models").glob("*.py"))
