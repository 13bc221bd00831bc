"""The kinds of source that the language knows and this version does not load yet."""

from __future__ import annotations

from typing import Any, NoReturn

from zooc.deployment import Model
from zooc.diagnostics import ZoocError, error
from zooc.models.network import Network
from zooc.models.source import Progress

__all__ = ["UnavailableSource"]


class UnavailableSource:
    """Refuses every model of its kind and says how to bring the network in another way."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def identify(self, model: Model) -> Any:
        """Always refuses.

        Raises:
            ZoocError: `Z0202`.
        """
        self._refuse(model)

    def load(self, model: Model, on_progress: Progress) -> Network:
        """Always refuses.

        Raises:
            ZoocError: `Z0202`.
        """
        self._refuse(model)

    def _refuse(self, model: Model) -> NoReturn:
        name = f"{self.kind}.{model.source.name}"
        raise ZoocError(
            error(
                "Z0202",
                f"this version of zooc does not load {self.kind} models yet ({name})",
                model.source.span,
                hint='export the network with torch.onnx.export and write source onnx("FILE.onnx")',
            )
        )
