"""Compile a description, and print the most memory that the compiler and its workers held together.

    python benchmarks/memory.py FILE.zoo [--variant NAME] [--set NAME=VALUE] [--every 0.05]

The compile runs in a process of its own, without the cache: the network is exported anew, as at its first
compile. The resident memory of that process and of all that it starts is added up many times a second. What
several of them share (libraries) counts for each. Works on Linux, whose `/proc` tells.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

from machine import machine

STAGE_BEGINS = " ..."
BEFORE = "start"


def main() -> None:
    """Print the peak of every stage, and of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--variant")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="overrides")
    parser.add_argument("--every", type=float, default=0.05, help="seconds between two looks")
    options = parser.parse_args()
    if not Path("/proc/self/statm").exists():
        sys.exit("needs /proc, which Linux has")
    arguments = [str(options.file), *(["--variant", options.variant] if options.variant else [])]
    arguments += [word for override in options.overrides for word in ("--set", override)]
    print(", ".join(f"{name}: {value}" for name, value in machine().items()), file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        status, peaks = measure([*arguments, "--output", f"{folder}/package"], options.every)
    print("| stage | peak, MB |", "|---|--:|", sep="\n")
    for stage, peak in ((stage, peak) for stage, peak in peaks.items() if peak):  # some are too short to see
        print(f"| {stage} | {peak / 1e6:.0f} |")
    print(f"| all | {max(peaks.values()) / 1e6:.0f} |")
    sys.exit(status)


def measure(arguments: list[str], every: float) -> tuple[int, dict[str, int]]:
    """Run `zooc compile`; its exit status, and the peak of its processes in bytes by stage."""
    command = [sys.executable, "-m", "zooc", "compile", *arguments, "--no-cache", "--verbose"]
    peaks = {BEFORE: 0}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        follower = threading.Thread(target=_follow, args=(process.stderr, peaks))
        follower.start()
        try:
            while process.poll() is None:
                held = resident(process.pid)
                stage = next(reversed(peaks))
                peaks[stage] = max(peaks[stage], held)
                time.sleep(every)
        except BaseException:
            process.kill()
            raise
        follower.join()
    return process.returncode, peaks


def resident(root: int) -> int:
    """Resident bytes of a process and of all that it or they started and that still run."""
    parents, pages = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it may end at any time
                # The name may hold blanks and parentheses; behind it come the state and the parent.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                pages[int(entry.name)] = int((entry / "statm").read_text().split()[1])
    family, found = {root}, {root}
    while found:
        found = {pid for pid, parent in parents.items() if parent in family and pid not in family}
        family |= found
    return sum(pages.get(pid, 0) for pid in family) * os.sysconf("SC_PAGE_SIZE")


def _follow(lines: IO[str], peaks: dict[str, int]) -> None:
    """Repeat what the compiler says, and begin a new entry with each stage."""
    for line in lines:
        sys.stderr.write(line)
        if line.rstrip("\n").endswith(STAGE_BEGINS) and " " not in (stage := line.rstrip("\n")[:-4]):
            peaks.setdefault(stage, 0)


if __name__ == "__main__":
    main()
