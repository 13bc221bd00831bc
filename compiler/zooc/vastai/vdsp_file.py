"""A vdsp_params file as an importer reads it: what it means, what it leaves out, and where that stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zooc.deployment import Normalize, Preprocess
from zooc.diagnostics.diagnostic import SourceFile, Span
from zooc.vastai.config import Input
from zooc.vastai.sections import Reading
from zooc_runtime.preprocessing.sizes import output_size
from zooc_runtime.preprocessing.steps import Crop
from zooc_runtime.preprocessing.vdsp.document import VdspParams, examine_vdsp

__all__ = ["VdspFile", "read_vdsp_file"]

_SIZE = 224
_MARGIN = 8 / 7
"""The field's habit: 256 for 224."""


@dataclass(frozen=True)
class VdspFile:
    """A file's preprocessing, the (height, width) that it makes, and remarks for the result's head."""

    file: str
    preprocess: Preprocess
    size: tuple[int, int]
    remarks: tuple[str, ...]
    whole_span: Span
    places: Mapping[str, Span]

    @property
    def size_span(self) -> Span:
        """Where the output's size stands."""
        return self.places.get("OimageWidth", self.whole_span)

    def place_of(self, what: str) -> Span:
        """Return where a thing that `compare.differences` names stands."""
        keys = {
            "the geometry": "OpType",
            "the channel order": "ColorCvtCode",
            "the normalization": "NormaType",
        }
        return self.places.get(keys[what], self.whole_span)


def read_vdsp_file(source: SourceFile, target: Input | None, reading: Reading) -> VdspFile | None:
    """Examine a file; `None` after an error.

    A file without sizes (the accelerator's own programs fill them in) gets the network's, and where a crop's
    resize is not given either, the usual 8/7 of that, with a warning.

    Args:
        source: the file.
        target: the network's input, if it is known.
        reading: takes the findings: `Z0310`, `Z0311`, and `Z0806` for what was assumed.
    """
    found = examine_vdsp(source.text, _defaults(source.text, target))
    for fault in found.faults:
        span = Span(source, fault.start, max(fault.end, fault.start + 1))
        reading.error("Z0311" if fault.unsupported else "Z0310", fault.message, span, hint=fault.hint)
    if found.params is None:
        return None
    places = {key: Span(source, *place) for key, place in found.places.items()}
    whole = places.get("OpType", Span(source, 0, 1))
    if found.assumed:
        _warn_of_assumptions(found.assumed, found.params, target, whole, reading)
    remarks = []
    if found.unused:
        remarks.append(f"{' and '.join(found.unused)} of the vdsp file have no effect with its NormaType.")
    return VdspFile(
        source.name,
        _preprocess(found.params),
        (found.params.height, found.params.width),
        tuple(remarks),
        whole,
        places,
    )


def _defaults(text: str, target: Input | None) -> dict[str, int]:
    """The output's size is the network's; of a crop either all or none is assumed."""
    height, width = (target.height, target.width) if target else (_SIZE, _SIZE)
    defaults = {"OimageHeight": height, "OimageWidth": width}
    if not any(f'"{key}"' in text for key in ("ResizeWidth", "ResizeHeight", "CropX", "CropY")):
        resized = round(height * _MARGIN), round(width * _MARGIN)
        defaults |= {"ResizeHeight": resized[0], "ResizeWidth": resized[1]}
        defaults |= {"CropY": (resized[0] - height) // 2, "CropX": (resized[1] - width) // 2}
    return defaults


def _warn_of_assumptions(
    assumed: tuple[str, ...], params: VdspParams, target: Input | None, span: Span, reading: Reading
) -> None:
    guessed = [key for key in assumed if target is None or not key.startswith("Oimage")]
    if not guessed:
        return
    message = f"the file does not give {', '.join(dict.fromkeys(guessed))}"
    resize = next(step for step in params.steps if not isinstance(step, Crop))
    height, width = output_size([resize], params.height, params.width)
    notes = (f"assumed: {width} x {height} after the resize, {params.width} x {params.height} at the end",)
    hint = "correct the sizes in the result, or add them to the file"
    reading.warn("Z0806", message, span, notes=notes, hint=hint)


def _preprocess(params: VdspParams) -> Preprocess:
    normalize = Normalize(params.divisor, params.mean, params.std)
    return Preprocess(params.steps, normalize, params.source)
