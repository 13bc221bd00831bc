"""Image sets put in order: validation images into class folders, and class-balanced draws.

Mistakes of the user's raise `zooc_runtime.PackageError`, as in the tools that the packages have too.
"""

from __future__ import annotations

from zooc.datasets.sample import Sample, sample
from zooc.datasets.transfer import HOW, How
from zooc.datasets.valprep import Arrangement, arrange

__all__ = ["HOW", "Arrangement", "How", "Sample", "arrange", "sample"]
