"""What an examination finds, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Finding", "Section", "Status"]

Section = Literal["libraries", "machine", "folders", "programs"]
Status = Literal["ok", "absent", "warning", "old", "broken"]
"""`absent` is what zooc does without; `old` and `broken` are what it does not work with as it is."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what it is called.
        detail: what was found, in one line.
        remedy: the command to run, or what else to do; empty where nothing is to be done.
        facts: the same for programs, with a JSON form.
    """

    section: Section
    name: str
    status: Status
    detail: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def stops_work(self) -> bool:
        """Tell whether zooc, or a part of it that is installed, does not work."""
        return self.status in ("old", "broken")

    def to_json(self) -> dict[str, Any]:
        """Return plain data for `--format json`."""
        return {
            "section": self.section,
            "name": self.name,
            "status": self.status,
            "detail": self.detail,
            "remedy": self.remedy or None,
            **self.facts,
        }
