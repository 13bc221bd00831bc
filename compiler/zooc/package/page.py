"""Pages for people: one file each, which needs no network to be viewed."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from typing import Any

import jinja2
import numpy as np
import numpy.typing as npt
from PIL import Image

from zooc.resources import resource
from zooc_runtime.preprocessing.steps import Step, SwapChannels

__all__ = ["data_uri", "picture_uri", "render_page", "swaps_channels"]

_SIDE = 96
_PICTURE_SIDE = 240


def render_page(template: str, facts: dict[str, Any]) -> str:
    """Return a page; everything from the user is escaped by jinja2's autoescape.

    Args:
        template: its file in `templates`.
        facts: what the template names.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(facts)


def swaps_channels(steps: Iterable[Step]) -> bool:
    """Tell whether pixels are BGR after these steps."""
    return sum(isinstance(step, SwapChannels) for step in steps) % 2 == 1


def data_uri(pixels: npt.NDArray[Any], *, bgr: bool = False) -> str | None:
    """Return a JPEG of at most 96 x 96 pixels as a `data:` address.

    Args:
        pixels: uint8 `[channels, h, w]`.
        bgr: whether blue comes first.

    Returns:
        The address; `None` where pixels of so many channels are no picture.
    """
    return _jpeg(pixels, _SIDE, bgr=bgr)


def picture_uri(pixels: npt.NDArray[Any], *, bgr: bool = False) -> str | None:
    """Return the same of at most 240 x 240 pixels."""
    return _jpeg(pixels, _PICTURE_SIDE, bgr=bgr)


def _jpeg(pixels: npt.NDArray[Any], side: int, *, bgr: bool) -> str | None:
    if pixels.dtype != np.uint8 or pixels.shape[0] not in (1, 3):
        return None
    planes = pixels[::-1] if bgr else pixels
    last = planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)
    picture = Image.fromarray(np.ascontiguousarray(last))
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
