"""The accuracy contract: int8 measured against float, and layers returned to float until it holds."""

from __future__ import annotations

from zooc.contract.hold import ContractResult, ReturnedLayer, hold
from zooc.contract.images import ContractImages
from zooc.contract.ranges import complete_ranges
from zooc.contract.requirement import effective_requirement
from zooc.contract.sequential import SequentialTest
from zooc.contract.trial import Trial

__all__ = [
    "ContractImages",
    "ContractResult",
    "ReturnedLayer",
    "SequentialTest",
    "Trial",
    "complete_ranges",
    "effective_requirement",
    "hold",
]
