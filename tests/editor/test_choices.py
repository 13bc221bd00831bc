"""What completion offers is what the compiler accepts, and what the pages explain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zooc.diagnostics.words import known_words, meanings
from zooc.editor.choices import ARGUMENTS, VALUES
from zooc.editor.document import Document
from zooc.frontend.syntax.vocabulary import BLOCKS, FUNCTIONS, HEAD, RESERVED

WRONG_WORD = {"Z0101", "Z0104", "Z0105", "Z0106"}
_BEFORE = {
    ("quantize", "keep", 1): "keep fp32 {}",
    ("quantize", "drop", 2): "require drop <= 1% {}",
    ("quantize", "drop", 3): "require drop <= 1% on {}",
    ("quantize", "latency", 2): "require latency <= 1 {}",
    ("quantize", "latency", 3): "require latency <= 1 ms on {}",
    ("quantize", "throughput", 2): "require throughput >= 1/s {}",
    ("quantize", "throughput", 3): "require throughput >= 1/s on {}",
    ("quantize", "corrections", 0): "corrections [{}]",
    ("package", "engines", 0): "engines [{}]",
    ("model", "input", 0): "input [{}, 3, 8, 8]",
    ("quantize", "", 0): "quantize {} {{}}",
    ("preprocess", "", 0): "preprocess {}",
}


def _wrong_words(text: str) -> set[str]:
    return {f.code for f in Document(Path("x.zoo"), text).findings} & WRONG_WORD


@pytest.mark.parametrize("place", VALUES, ids=str)
def test_every_value_offered_is_accepted(place: tuple[str, str, int]) -> None:
    block, statement, _ = place
    for word in VALUES[place]:
        value = word + {".": "x", "(": ")"}.get(word[-1], "")
        if (block, statement) == ("quantize", "require") and place[2] == 0:
            value = f"{word} <= 1"
        written = _BEFORE.get(place, f"{statement} {{}}").format(value)
        header = "int8 " if block == "quantize" else ""
        text = written if not statement else f"{block} {header}{{ {written} }}"
        if block == "head":
            text = f"heads {{ a: {written} }}"
        assert not _wrong_words(text), text


@pytest.mark.parametrize("place", ARGUMENTS, ids=str)
def test_every_argument_offered_is_accepted(place: tuple[str, str]) -> None:
    function, parameter = place
    around = {
        "images": 'quantize int8 {{ require drop <= 1% on images("x", {}) }}',
        "auto": "quantize int8 {{ calibrate auto({}) }}",
        "per_channel": "quantize int8 {{ weights per_channel({}) }}",
        "per_tensor": "quantize int8 {{ weights per_tensor({}) }}",
        "cpu": "quantize int8 {{ target cpu({}) }}",
        "imagenet1k": "postprocess {{ labels imagenet1k({}) }}",
        "this_machine": "quantize int8 {{ require latency <= 1 ms on this_machine({}) }}",
        "Resize": "preprocess {{ Resize(8, {}) }}",
        "Letterbox": "preprocess {{ Letterbox(8, {}) }}",
        "Pad": "preprocess {{ Pad(8, {}) }}",
    }
    form = around.get(function, f"preprocess {{{{ {function}({{}}) }}}}")
    for word in ARGUMENTS[place]:
        assert not _wrong_words(form.format(f"{parameter}={word}")), word
    assert _wrong_words(form.format(f"{parameter}=nonsense")), "the form does not reach the compiler's check"


def test_every_word_of_the_language_has_a_meaning() -> None:
    words = {
        *RESERVED,
        *BLOCKS,
        *FUNCTIONS,
        *HEAD,
        *(s for statements in BLOCKS.values() for s in statements),
    }
    assert [word for word in sorted(words) if not meanings(word)] == []
    blocks_and_statements = {*BLOCKS, *HEAD, *(s for statements in BLOCKS.values() for s in statements)}
    assert blocks_and_statements <= set(known_words())


def test_a_word_means_what_it_means_in_its_block() -> None:
    assert [m.section for m in meanings("weights", "quantize")] == ["quantize"]
    assert {m.section for m in meanings("weights")} == {"model", "quantize"}
    assert meanings("nonsense") == ()


@pytest.mark.slow
def test_published_names_are_those_that_the_libraries_list() -> None:
    code = (
        "import sys\n"
        "from zooc.networks.torch.published_names import published_names as names\n"
        "timm, torchvision = set(names('timm')), set(names('torchvision'))\n"
        "assert 'torch' not in sys.modules\n"
        "import timm as t, torchvision.models as m\n"
        "listed = set(t.list_models())\n"
        "assert {n for n in timm if '.' not in n} == listed\n"
        "tagged = set(t.list_models(pretrained=True)) - listed\n"
        "assert len(tagged - timm) < 0.05 * len(tagged), tagged - timm\n"
        "assert torchvision == set(m.list_models(module=m))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
