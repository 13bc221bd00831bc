"""From the body of an `infer` request to images: the protocol's JSON, alone or before binary tensors."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..preprocessing.decode import ImageLike
from .interface import Input, Interface, Output
from .limits import Limits, Refusal
from .tensors import bytes_of_binary, bytes_of_json, numbers_of_binary, numbers_of_json

__all__ = ["InferRequest", "WantedOutput", "read_request"]

_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class WantedOutput:
    """An output that a request asks for.

    Attributes:
        output: which.
        binary: whether its data goes behind the JSON.
        classes: how many classes to name instead of giving numbers (Triton's classification extension);
            `None` for the output as it is.
    """

    output: Output
    binary: bool = False
    classes: int | None = None


@dataclass(frozen=True)
class InferRequest:
    """What is to be done.

    Attributes:
        images: what `Network.decode` takes; the network's own inputs where they are prepared.
        prepared: whether they are.
        outputs: what is asked for.
        id: the client's, given back.
        seconds: how long the client waits for the answer, if it says so.
        timing: whether the answer is to tell the time of each stage.
    """

    images: list[ImageLike]
    prepared: bool
    outputs: tuple[WantedOutput, ...]
    id: str | None = None
    seconds: float | None = None
    timing: bool = False


def read_request(
    body: bytes | bytearray, json_length: str | None, interface: Interface, limits: Limits
) -> InferRequest:
    """Read the body of a request.

    Args:
        body: as sent.
        json_length: the header `Inference-Header-Content-Length`; without it all is JSON, and with `0` all is
            the file of one image.
        interface: the package's.
        limits: the server's.

    Raises:
        Refusal: 400 for whatever does not hold to the protocol, 413 for what is too large.
    """
    whole = memoryview(body)
    length = len(whole) if json_length is None else _length(json_length, len(whole))
    if length == 0 and json_length is not None:
        return InferRequest([_raw(whole, interface)], False, _wanted([], interface, binary=False))
    if length > limits.document:
        raise Refusal(
            413,
            f"the JSON has {length} bytes, but at most {limits.document} are taken; "
            "send images behind it, by the binary tensor data extension",
        )
    document = _document(whole[:length])
    given = _list_of_objects(document.get("inputs"), "inputs")
    if len(given) != 1:
        raise Refusal(400, f'"inputs" has {len(given)} entries; give one input, with all images in it')
    images, prepared = _images(given[0], whole[length:], interface, limits)
    parameters = _parameters(document, "the request")
    outputs = _list_of_objects(document.get("outputs", []), "outputs")
    binary = _flag(parameters, "binary_data_output")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise Refusal(400, '"id" is not a string')
    return InferRequest(
        images,
        prepared,
        _wanted(outputs, interface, binary),
        request_id,
        _seconds(parameters),
        _flag(parameters, "timing"),
    )


def _length(text: str, available: int) -> int:
    if not (text.isascii() and text.isdecimal()) or len(text) > 12 or int(text) > available:
        raise Refusal(
            400,
            f"Inference-Header-Content-Length is {text[:40]!r}, but the body has {available} bytes; "
            "it is the length of the JSON at the body's beginning",
        )
    return int(text)


def _raw(body: memoryview, interface: Interface) -> bytes:
    if interface.inputs[0].datatype != "BYTES":
        raise Refusal(
            400,
            "Inference-Header-Content-Length is 0, which sends the file of an image, but this package takes "
            f"{interface.inputs[0].datatype}; send JSON that names the input",
        )
    return bytes(body)


def _document(text: memoryview) -> dict[str, Any]:
    try:
        document = json.loads(bytes(text), parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise Refusal(400, f"the request is not JSON: {problem}") from None
    if not isinstance(document, dict):
        raise Refusal(400, 'the request is not a JSON object with "inputs"')
    return document


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no number in JSON")


def _list_of_objects(value: Any, key: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Refusal(400, f'"{key}" is not a list of objects')
    return value


def _images(
    given: dict[str, Any], binary: memoryview, interface: Interface, limits: Limits
) -> tuple[list[ImageLike], bool]:
    taken = _input(given, interface)
    name, shape = taken.name, _shape(given, taken, limits)
    parameters = _parameters(given, f'input "{name}"')
    if "shared_memory_region" in parameters:
        raise Refusal(400, f'input "{name}": shared memory is not supported; send the data itself')
    size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in given):
        raise Refusal(400, f'input "{name}": give either "data" or the parameter binary_data_size')
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        raise Refusal(400, f'input "{name}": binary_data_size is not a whole number')
    if (size or 0) != len(binary):
        raise Refusal(
            400,
            f'input "{name}": binary_data_size is {size or 0}, but {len(binary)} bytes follow the JSON; '
            "check Inference-Header-Content-Length",
        )
    if taken.datatype == "BYTES":
        elements = (
            bytes_of_json(given["data"], shape[0], name)
            if size is None
            else bytes_of_binary(binary, shape[0], name)
        )
        return list(elements), False
    array = (
        numbers_of_json(given["data"], taken.datatype, shape, name)
        if size is None
        else numbers_of_binary(binary, taken.datatype, shape, name)
    )
    return list(array), taken.prepared


def _input(given: dict[str, Any], interface: Interface) -> Input:
    name, datatype = given.get("name"), given.get("datatype")
    named = [one for one in interface.inputs if one.name == name]
    if not named:
        raise Refusal(400, _unknown("input", name, [one.name for one in interface.inputs]))
    for one in named:
        if one.datatype == datatype:
            return one
    kinds = " or ".join(one.datatype for one in named)
    raise Refusal(400, f'input "{name}": its datatype is {str(datatype)[:40]!r}; {kinds} is expected')


def _shape(given: dict[str, Any], taken: Input, limits: Limits) -> tuple[int, ...]:
    """The shape with the number of images in front, where it may be left out for one image in pixels."""
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(
        isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= _LARGEST for one in shape
    ):
        raise Refusal(400, f'input "{taken.name}": "shape" is not a list of positive whole numbers')
    sizes = tuple(shape)
    if taken.datatype == "BYTES" and len(sizes) == 2 and sizes[1] == 1:
        sizes = sizes[:1]
    if taken.item and not taken.prepared and len(sizes) == len(taken.item):
        sizes = (1, *sizes)
    fits = len(sizes) == 1 + len(taken.item) and all(
        wanted in (0, size) for wanted, size in zip(taken.item, sizes[1:], strict=True)
    )
    if not fits:
        expected = ", ".join(["N", *(str(one) if one else "any" for one in taken.item)])
        raise Refusal(400, f'input "{taken.name}": its shape is {str(shape)[:60]}; [{expected}] is expected')
    if sizes[0] > limits.queue:
        raise Refusal(
            413,
            f"the request has {sizes[0]} images, but at most {limits.queue} are taken; send fewer at a time",
        )
    if taken.item and math.prod(sizes[1:3]) > limits.pixels and not taken.prepared:
        raise Refusal(
            413, f"an image has {math.prod(sizes[1:3])} pixels, but at most {limits.pixels} are taken"
        )
    return sizes


def _wanted(given: list[dict[str, Any]], interface: Interface, binary: bool) -> tuple[WantedOutput, ...]:
    """The outputs asked for; all of them where none is named."""
    if not given:
        return tuple(WantedOutput(output, binary) for output in interface.outputs)
    wanted = []
    for one in given:
        found = [output for output in interface.outputs if output.name == one.get("name")]
        if not found:
            raise Refusal(
                400, _unknown("output", one.get("name"), [output.name for output in interface.outputs])
            )
        (output,) = found
        parameters = _parameters(one, f'output "{output.name}"')
        count = parameters.get("classification", 0)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise Refusal(400, f'output "{output.name}": classification is not a number of classes')
        if count and output.head.embeds:
            raise Refusal(
                400, f'output "{output.name}": an embedding has no classes; leave classification out'
            )
        wanted.append(WantedOutput(output, _flag(parameters, "binary_data", binary), count or None))
    return tuple(wanted)


def _parameters(given: dict[str, Any], place: str) -> dict[str, Any]:
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal(400, f'"parameters" of {place} is not an object')
    return parameters


def _flag(parameters: dict[str, Any], key: str, default: bool = False) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise Refusal(400, f'the parameter "{key}" is neither true nor false')
    return value


def _seconds(parameters: dict[str, Any]) -> float | None:
    """The client's deadline: `timeout` in microseconds, as Triton has it; 0 is none."""
    timeout = parameters.get("timeout", 0)
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 0 <= timeout <= 2**63:
        raise Refusal(400, 'the parameter "timeout" is not a whole number of microseconds')
    return timeout / 1e6 if timeout else None


def _unknown(kind: str, name: Any, known: Iterable[str]) -> str:
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(str(name)[:80], names, 1)
    advice = f'did you mean "{near[0]}"?' if near else f"there is {', '.join(names)}"
    return f'no {kind} "{str(name)[:80]}"; {advice}'
