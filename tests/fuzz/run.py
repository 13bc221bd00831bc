"""Feeds every target with strange files and prints a table; what it finds is written to a folder.

python tests/fuzz/run.py --minutes 10
python tests/fuzz/run.py --count 200 --only network --seed 5000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import graphs
import targets
import texts

SHARES = {"network": 0.55, "description": 0.15, "config": 0.1}
"""Of the time; the others share the rest."""


CORPUS = Path(__file__).parent / "corpus"


@dataclass
class Tally:
    """What became of one target's files."""

    files: int = 0
    words: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    found: Counter[str] = field(default_factory=Counter)


def strange(name: str, seed: int) -> bytes:
    """Return the file number `seed` of a target."""
    sound = targets.TARGETS[name][0]
    if name == "network":
        return graphs.strange_model(seed)
    return (texts.damaged_bytes if name in targets.BINARY else texts.damaged_text)(sound, seed)


def feed(name: str, content: bytes, folder: Path, tally: Tally) -> str | None:
    """Give one file to a target; returns what was found."""
    before = time.process_time()
    found = None
    try:
        tally.words[targets.TARGETS[name][1](content, folder)] += 1
    except targets.Finding as problem:
        found = str(problem)
    except Exception as problem:  # exactly what is looked for
        place = traceback.extract_tb(problem.__traceback__)[-1]
        found = f"{type(problem).__name__} at {Path(place.filename).name}:{place.lineno}: {problem}"[:300]
    used = time.process_time() - before
    tally.files += 1
    tally.slowest = max(tally.slowest, used)
    if found is None and used > targets.SLOW:
        found = f"{used:.2f} s of processor time"
    if found is not None:
        tally.found[found[:120]] += 1
    return found


def main() -> int:
    """Run, print the table, return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="for all targets together")
    parser.add_argument("--count", type=int, help="files a target, in place of --minutes")
    parser.add_argument("--only", choices=targets.TARGETS)
    parser.add_argument("--seed", type=int, default=0, help="number of the first file")
    parser.add_argument("--keep", type=Path, help="folder for what is found")
    parser.add_argument("--corpus", action="store_true", help="what was found once, too")
    options = parser.parse_args()
    names = [options.only] if options.only else list(targets.TARGETS)
    rest = (1 - sum(SHARES.values())) / (len(targets.TARGETS) - len(SHARES))
    tallies = {}
    with tempfile.TemporaryDirectory(prefix="zooc-fuzz-") as place:
        for name in names:
            share = 1.0 if options.only else SHARES.get(name, rest)
            end = time.monotonic() + 60 * options.minutes * share
            tally = tallies[name] = Tally()
            folder = Path(place, name)
            folder.mkdir()
            for file in sorted(CORPUS.glob(f"{name}-*")) if options.corpus else ():
                feed(name, file.read_bytes(), folder, tally)
            seed = options.seed
            while seed - options.seed < options.count if options.count else time.monotonic() < end:
                content = strange(name, seed)
                found = feed(name, content, folder, tally)
                if found is not None and options.keep is not None:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{name}-{seed}").write_bytes(content)
                    print(f"{name} {seed}: {found}", file=sys.stderr, flush=True)
                seed += 1
    print("| target | files | taken | refused | slowest, ms | findings |\n|---|---|---|---|---|---|")
    for name, tally in tallies.items():
        taken, slowest = tally.words["taken"], tally.slowest * 1000
        refused = tally.words["refused"]
        print(f"| {name} | {tally.files} | {taken} | {refused} | {slowest:.0f} | {tally.found.total()} |")
    for name, tally in tallies.items():
        for text, count in tally.found.most_common():
            print(f"{name}: {count} x {text}")
    return int(any(tally.found for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
