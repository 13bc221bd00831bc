"""Times the parser on growing texts, a text for each rule of the grammar and each kind of error.

    python benchmarks/parsing.py
    python benchmarks/parsing.py --largest 160000 --only let

Of each text, processor time is taken for a quarter, a half and the whole of the largest size, the least of
three runs. The exponent is that of the growth from half to whole: 1 is linear, 2 is quadratic. One above 1.5
makes the exit code 1.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from zooc.diagnostics.render import render
from zooc.frontend.semantics.analyze import load_deployment
from zooc.vastai.import_files import import_files

__all__ = ["TEXTS", "main", "seconds"]

HEAD = 'model { source onnx("net.onnx") }\nquantize fp32\npackage { name tiny }\n'
INT8 = 'model { source onnx("net.onnx") }\nquantize int8 { keep fp32 [%s] }\n'

TEXTS: dict[str, Callable[[int], str]] = {
    "comment": lambda n: HEAD + "# comment\n" * (n // 10),
    "blank lines": lambda n: HEAD + "\n" * n,
    "let": lambda n: HEAD + "".join(f"let a{i} = {i}\n" for i in range(n // 14)),
    "let, each of the one before": lambda n: (
        HEAD + "let a0 = 1\n" + "".join(f"let a{i} = a{i - 1}\n" for i in range(1, n // 18))
    ),
    "let, one name": lambda n: HEAD + "let a = 1 " * (n // 10),
    "let, all in one line": lambda n: "let a = 1 " * (n // 10),
    "variant": lambda n: HEAD + "".join(f"variant v{i} {{ quantize = fp16 }}\n" for i in range(n // 32)),
    "list": lambda n: HEAD + "let a = [" + "1," * (n // 2) + "]",
    "sum": lambda n: HEAD + "let a = 1" + "+1" * (n // 2),
    "product": lambda n: HEAD + "let a = 1" + "*1" * (n // 2),
    "signs": lambda n: HEAD + "let a = " + "-" * n + "1",
    "path": lambda n: HEAD + "let a = a" + ".a" * (n // 2),
    "call": lambda n: HEAD + "preprocess { " + "Resize(8) " * (n // 10) + "}",
    "keywords": lambda n: HEAD + "preprocess { Resize(" + "a=1," * (n // 4) + ") }",
    "string": lambda n: HEAD + 'let a = "' + "x" * n + '"',
    "escapes": lambda n: HEAD + 'let a = "' + "\\n" * (n // 2) + '"',
    "patterns": lambda n: INT8 % ('"a*",' * (n // 5)),
    "one long pattern": lambda n: INT8 % ('"' + "*a" * (n // 2) + '"'),
    "name": lambda n: HEAD + "let " + "a" * n + " = 1",
    "digits": lambda n: HEAD + "let a = " + "9" * n,
    "error: brackets": lambda n: HEAD + "let a = " + "[" * n,
    "error: braces": lambda n: HEAD + "model { " * (n // 8),
    "error: closing": lambda n: HEAD + "}" * n,
    "error: empty parentheses": lambda n: HEAD + "let a = " + "()" * (n // 2),
    "error: each line": lambda n: HEAD + "let a = = 1\n" * (n // 12),
    "error: each block": lambda n: "model { = }\n" * (n // 12),
    "error: stray characters": lambda n: HEAD + ";:" * (n // 2),
    "error: no escapes": lambda n: HEAD + 'let a = "' + "\\q" * (n // 2) + '"',
    "error: not ASCII": lambda n: HEAD + "é" * n,
    "error: not ASCII, words": lambda n: HEAD + "é " * (n // 2),
    "error: unknown word": lambda n: HEAD.replace("package", "p" * n),
    "error: unknown statements": lambda n: "model { " + "sourc 1 " * (n // 8) + "}",
    "error: unknown name": lambda n: HEAD + "let a = " + "b" * n,
    "error: unclosed string": lambda n: HEAD + 'let a = "' + "x" * n,
    "error: bad numbers": lambda n: HEAD + "let a = [" + "1.," * (n // 3) + "]",
    "YAML: mapping": lambda n: "".join(f"k{i}: 1\n" for i in range(n // 9)),
    "YAML: list": lambda n: "a: [" + "1," * (n // 2) + "]",
    "YAML: brackets": lambda n: "[" * n,
    "YAML: one key": lambda n: "a: 1\n" * (n // 5),
    "YAML: string": lambda n: 'a: "' + "\\x41" * (n // 4) + '"',
    "YAML: comment": lambda n: "# x\n" * (n // 4),
    "JSON: object": lambda n: "{" + ",".join(f'"k{i}": 1' for i in range(n // 11)) + "}",
    "JSON: one key": lambda n: "{" + '"a": 1,' * (n // 7) + '"a": 1}',
    "JSON: brackets": lambda n: '{"a": ' + "[" * n,
    "JSON: string": lambda n: '{"OpType": "' + "\\u0041" * (n // 6) + '"}',
}
"""By what grows: the text of about so many characters."""


def seconds(name: str, size: int, folder: Path) -> float:
    """Return the processor time of reading one text and rendering what is found, the least of three."""
    kind = name.partition(":")[0]
    path = folder / {"YAML": "a.yaml", "JSON": "a.json"}.get(kind, "a.zoo")
    path.write_text(TEXTS[name](size), "utf-8")
    times = []
    for _ in range(3):
        start = time.process_time()
        if path.suffix == ".zoo":
            found = load_deployment(path, may_miss_files=True)[1]
        else:
            found = list(import_files(path).diagnostics)
        for diagnostic in found:
            render(diagnostic)
        times.append(time.process_time() - start)
    return min(times)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--largest", type=int, default=80_000, help="characters")
    parser.add_argument("--only", default="", help="texts whose name contains this")
    options = parser.parse_args()
    sizes = (options.largest // 4, options.largest // 2, options.largest)
    worse = 0
    print(f"| text | {' | '.join(f'{size:,}, ms' for size in sizes)} | exponent |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        seconds("comment", 1000, Path(folder))  # the grammar's tables
        for name in TEXTS:
            if options.only not in name:
                continue
            times = [seconds(name, size, Path(folder)) for size in sizes]
            exponent = math.log2(times[2] / times[1])
            # What takes a few milliseconds is not measured well, and harms nobody.
            worse += exponent > 1.5 and times[2] > 0.05
            shown = " | ".join(f"{1000 * each:.0f}" for each in times)
            print(f"| {name} | {shown} | {exponent:.1f} |", flush=True)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main())
