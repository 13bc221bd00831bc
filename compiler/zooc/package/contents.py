"""What a package is made of, before it is files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zooc.deployment import Deployment

__all__ = ["PackageContents", "golden_bytes"]


@dataclass(frozen=True)
class PackageContents:
    """Everything that differs from package to package.

    Attributes:
        deployment: name and version come from its `package`.
        model: `model.onnx`, serialized.
        manifest: `manifest.json` without `files` and `distribution_files`, which `emit_package` adds.
        goldens: what `golden_bytes` gives.
        labels: files of class names in the order of class ids.
        vdsp_params: the preprocessing as Vastai's JSON, `None` where it cannot be said so.
        report_html: the report, complete in itself.
        report_json: what it was made of; `None` leaves it out.
    """

    deployment: Deployment
    model: bytes
    manifest: Mapping[str, Any]
    goldens: bytes
    labels: Mapping[str, tuple[str, ...]]
    vdsp_params: Mapping[str, Any] | None
    report_html: str
    report_json: bytes | None = None


def golden_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the arrays as an npz file whose bytes depend on nothing but their names and contents."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # Unix, on whatever system we are
            member.external_attr = 0o644 << 16
            data = io.BytesIO()
            np.lib.format.write_array(
                data, np.ascontiguousarray(arrays[name]), version=(1, 0), allow_pickle=False
            )
            # zlib's output differs between its versions, stored bytes do not.
            archive.writestr(member, data.getvalue(), zipfile.ZIP_STORED)
    return buffer.getvalue()
