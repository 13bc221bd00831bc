"""What every model source offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from zooc.deployment import Model
from zooc.networks.network import Network

__all__ = ["Progress", "Source"]

Progress = Callable[[str], None]


class Source(Protocol):
    """Loads networks of one kind."""

    def identify(self, model: Model) -> Any:
        """Everything that the loaded network depends on beside its name, as JSON values, without loading it.

        Raises:
            ZoocError: a file that the description names cannot be read.
        """
        ...

    def load(self, model: Model, on_progress: Progress) -> Network:
        """Load the network.

        Raises:
            ZoocError: it cannot be loaded.
        """
        ...
