"""Texts and files, changed: pieces repeated, swapped, left out, nested, and bytes that are no text."""

from __future__ import annotations

import random
import re

__all__ = ["damaged_bytes", "damaged_text"]

_PIECES = re.compile(rb"\w+|\s+|.", re.DOTALL)

_STRANGE = [
    *(bytes([byte]) for byte in b"\0\xff\r\t\"\\'{}[]():,-#%="),
    *(b"\xed\xa0\x80", b"\xe2\x80\xae", b"\x1b[31m", b"\\ud800", b"\\uD800\\uDC00", b"\xef\xbb\xbf"),
    *(b"9" * 400, b"-1", b"0", b"1e999", b"nan", b"1e-400", b"9223372036854775808", b"null", b"true"),
    *(b"&a", b"*a", b"<<", b"!!python/object:os.system", b"|\n", b"? ", b"---\n"),
    *(b"../..", b"/dev/zero", b"a" * 3000, "e\u0301".encode()),
]


def damaged_text(text: bytes, seed: int) -> bytes:
    """Return `text` changed in one to six places; the same for the same seed."""
    rng = random.Random(seed)
    pieces = _PIECES.findall(text)
    for _ in range(rng.choice([1, 1, 2, 3, 6])):
        place = rng.randrange(len(pieces)) if pieces else 0
        kind = rng.randrange(7)
        if kind == 0:
            del pieces[place : place + rng.choice([1, 1, 3, 10])]
        elif kind == 1:
            pieces[place:place] = pieces[place : place + rng.choice([1, 3, 20])] * rng.choice([1, 2, 30])
        elif kind == 2 and pieces:
            other = rng.randrange(len(pieces))
            pieces[place], pieces[other] = pieces[other], pieces[place]
        elif kind == 3:
            pieces.insert(place, rng.choice(_STRANGE))
        elif kind == 4 and pieces:
            pieces[place] = rng.choice(_STRANGE)
        elif kind == 5:
            pieces.insert(place, rng.choice(_STRANGE) * rng.choice([2, 50, 2000]))
        elif kind == 6 and pieces:
            pieces[place] = pieces[place][: len(pieces[place]) // 2] + rng.choice(_STRANGE)
    return b"".join(pieces)[:60_000]


def damaged_bytes(content: bytes, seed: int) -> bytes:
    """Return a binary file with some bytes changed, left out or added."""
    rng = random.Random(seed)
    data = bytearray(content)
    for _ in range(rng.choice([1, 2, 5])):
        place = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0 and place < len(data):
            data[place] = rng.choice([0, 255, rng.randrange(256)])
        elif kind == 1:
            del data[place : place + rng.choice([1, 8, 1000])]
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.choice([1, 4, 100]))
        else:
            del data[place:]
    return bytes(data)
