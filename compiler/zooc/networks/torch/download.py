"""Downloads of published weights that fail soon where there is no network, instead of hanging."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

# huggingface_hub reads these when it is first imported; a compile must not hang on a dead network.
os.environ.setdefault("HF_HUB_DOWNLOAD_TIMEOUT", "10")
os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", "5")

__all__ = ["fetch_state", "impatient", "impatient_with_hub"]

_TIMEOUT = 10.0


@contextlib.contextmanager
def impatient() -> Iterator[None]:
    """Give Within: short timeouts, and no log lines from download clients."""
    timeout, level = socket.getdefaulttimeout(), logging.root.manager.disable
    socket.setdefaulttimeout(_TIMEOUT)
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        socket.setdefaulttimeout(timeout)
        logging.disable(level)


@contextlib.contextmanager
def impatient_with_hub() -> Iterator[None]:
    """Give `impatient`, and no retries by huggingface_hub where there is no network at all.

    Without a network it would ask for most of a minute, though a file that it holds already needs no asking:
    its offline mode serves that one, or fails at once.
    """
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    with impatient():
        constants.HF_HUB_OFFLINE = offline or not _hub_answers()
        try:
            yield
        finally:
            constants.HF_HUB_OFFLINE = offline


def fetch_state(address: str) -> dict[str, Any]:
    """The state dict at `address`, from torch.hub's cache or downloaded into it; the name holds its hash.

    Raises:
        OSError: no network, or no such file.
        RuntimeError: the file's hash is not what its name says.
    """
    import torch

    with impatient(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state: dict[str, Any] = torch.hub.load_state_dict_from_url(
            address, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    return state


def _hub_answers() -> bool:
    """Whether the hub's host takes a connection; taken for granted behind a proxy."""
    if any(urllib.request.getproxies().get(scheme) for scheme in ("https", "all")):
        return True
    host = urllib.parse.urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        socket.create_connection((host.hostname or "", host.port or 443), timeout=5).close()
    except OSError:
        return False
    return True
