"""The libraries that zooc's own metadata asks for: which are there, whether new enough, whether they work."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from zooc.installation.finding import Finding, Status
from zooc.installation.probe import LIMIT, Probed, probe
from zooc_runtime.inference.cpu import available_cores
from zooc_runtime.inference.placement import PROVIDERS

if TYPE_CHECKING:
    from packaging.requirements import Requirement

__all__ = ["find_libraries"]

_NOT_FOR_USERS = frozenset({"benchmark", "demo", "dev"})
_MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}
"""By name on PyPI, those whose metadata does not tell their name in `import`."""


def find_libraries(report: Callable[[str], None], limit: float = LIMIT) -> list[Finding]:
    """Return one finding for zooc itself, for Python, and for each library of zooc's metadata.

    Args:
        report: told what is being tried.
        limit: seconds that an import may take.
    """
    try:
        own = distribution("zooc")
    except PackageNotFoundError:
        remedy = f"{_pip()} -e . in the checkout"
        detail = "runs from a folder and is not installed, so that what it needs is not known"
        return [Finding("libraries", "zooc", "warning", detail, remedy)]
    try:
        from packaging.requirements import Requirement
        from packaging.specifiers import SpecifierSet
    except Exception as error:
        detail = f"{type(error).__name__}: {error}; nothing else can be examined without it"
        return [Finding("libraries", "packaging", "broken", detail, f"{_pip()} --force-reinstall packaging")]
    python = sys.version.split()[0]
    asked = ",".join(own.metadata.get_all("Requires-Python") or ())
    fits = SpecifierSet(asked).contains(python, prereleases=True)
    found = [
        Finding("libraries", "zooc", "ok", own.version, facts={"version": own.version}),
        Finding(
            "libraries",
            "Python",
            "ok" if fits else "old",
            f"{python}, {sys.executable}",
            "" if fits else f"zooc needs Python {asked}",
            {"version": python, "asked_for": asked},
        ),
    ]
    extras = [name for name in own.metadata.get_all("Provides-Extra") or () if name not in _NOT_FOR_USERS]
    wanted = _requirements([Requirement(text) for text in own.requires or ()], extras)
    # A torch or timm takes seconds to import, so that the machine's cores share them.
    with ThreadPoolExecutor(min(4, available_cores())) as pool:
        return [*found, *pool.map(lambda one: _examine(one[0], one[1], report, limit), wanted)]


def _requirements(
    given: Sequence[Requirement], extras: Sequence[str]
) -> list[tuple[Requirement, str | None]]:
    """Those that concern a user of this Python, each with the extra that asks for it, if one does."""
    found: dict[str, tuple[Requirement, str | None]] = {}
    for extra in (None, *extras):
        for one in given:
            if one.marker is None or one.marker.evaluate({"extra": extra or ""}):
                found.setdefault(one.name.lower(), (one, extra))
    return list(found.values())


def _examine(
    requirement: Requirement, extra: str | None, report: Callable[[str], None], limit: float
) -> Finding:
    """Look at one library; only an absent one is not imported."""
    wanted = f"{requirement.name}{requirement.specifier}"
    facts: dict[str, Any] = {"version": None, "asked_for": str(requirement.specifier), "extra": extra}

    def finding(status: Status, detail: str, remedy: str = "") -> Finding:
        return Finding("libraries", requirement.name, status, detail, remedy, facts)

    there = _installed(requirement.name)
    if there is None:
        if extra is None:
            return finding("broken", f"is missing; zooc needs {wanted}", f"{_pip()} {shlex.quote(wanted)}")
        return finding("absent", f"not installed (extra {extra})", f"{_pip()} {shlex.quote(wanted)}")
    facts["version"] = there.version
    name = there.metadata["Name"]
    alias = "" if _same(name, requirement.name) else f", of {name}"
    report(f"importing {requirement.name}")
    probed = probe(_module_of(there), limit)
    facts.update(probed.facts)
    upgrade = f"{_pip()} --upgrade {shlex.quote(f'{name}{requirement.specifier}')}"
    if not requirement.specifier.contains(there.version, prereleases=True):
        reason = f"; {probed.failure}" if probed.failure else ""
        return finding("old", f"{there.version}{alias}, but zooc needs {wanted}{reason}", upgrade)
    if probed.failure is not None:
        facts["failure"] = probed.failure
        again = upgrade.replace("--upgrade", "--force-reinstall")
        return finding("broken", f"{there.version}{alias}: {probed.failure}", again)
    return finding("ok", f"{there.version}{alias}{_said(probed)}")


def _said(probed: Probed) -> str:
    """What a library has told, in words."""
    facts = probed.facts
    if "providers" in facts:
        return f": {', '.join(one.removesuffix('ExecutionProvider') for one in facts['providers'])}"
    if "devices" in facts:
        return f": {', '.join(f'{name} ({full})' for name, full in facts['devices'].items())}"
    if "libjpeg_turbo" in facts:
        return f", libjpeg-turbo {facts['libjpeg_turbo'] or 'missing: JPEG files decode otherwise'}"
    if "cuda" in facts:
        return ", with CUDA" if facts["cuda"] else ", on the CPU"
    return ""


def _installed(name: str) -> Distribution | None:
    """The distribution; of ONNX Runtime also one that is built for certain accelerators."""
    builds = {one for one in PROVIDERS.values() if one and "-ep-" not in one}
    for known in (name, *sorted(builds if name == "onnxruntime" else ())):
        try:
            return distribution(known)
        except PackageNotFoundError:
            continue
    return None


def _module_of(there: Distribution) -> str:
    """Its name in `import`."""
    name = there.metadata["Name"].lower()
    if name in _MODULES:
        return _MODULES[name]
    listed = (there.read_text("top_level.txt") or "").split()
    if tops := [one for one in listed if not one.startswith("_")]:
        return tops[0]
    files = [PurePosixPath(str(file)).parts for file in there.files or ()]
    packages = [parts[0] for parts in files if len(parts) == 2 and parts[1] == "__init__.py"]
    return packages[0] if packages else name.replace("-", "_")


def _same(one: str, other: str) -> bool:
    return one.lower().replace("_", "-") == other.lower().replace("_", "-")


def _pip() -> str:
    return f"{shlex.quote(sys.executable)} -m pip install"
