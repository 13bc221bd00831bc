"""A KServe `InferenceService` for the image of a package's server.

A custom predictor, whose environment names the protocol (`CustomSpecProtocolEnvVarKey`), as a plain
Deployment ("Standard"): Knative takes no grace period. Fields: the custom resource `inferenceservices` of
https://github.com/kserve/kserve, version 0.21.0.
"""

from __future__ import annotations

from typing import Any

import yaml

from zooc.package.exports.image import GRACE, PORT, SCRATCH, USER, dns_label, serve_command
from zooc.package.exports.reading import Compiled

__all__ = ["WRITTEN_BY", "inference_service"]

WRITTEN_BY = "# Written by `zooc export-kserve`.\n"
"""The first line of a manifest, by which it is known again."""

_PROBE_EVERY = 5
_START_WITHIN = 300


def inference_service(
    package: Compiled, image: str, *, cpu: int, memory: str, replicas: tuple[int, int]
) -> str:
    """Return the manifest, YAML.

    Args:
        package: what the image serves.
        image: the image's name in a registry.
        cpu: cores of a replica, asked for and allowed.
        memory: of a replica, a quantity of Kubernetes such as `512Mi`.
        replicas: how many at least and at most.

    Raises:
        ZoocError: Z0825, the package has no server.
    """
    serve_command(package)
    manifest = package.manifest
    document: dict[str, Any] = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": dns_label(package.name),
            "labels": {"app.kubernetes.io/name": dns_label(package.name)},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "zooc/version": str(manifest["zooc"]),
                "zooc/manifest-sha256": manifest.sha256,
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": replicas[0],
                "maxReplicas": replicas[1],
                "terminationGracePeriodSeconds": GRACE,
                "automountServiceAccountToken": False,
                "containers": [_container(image, cpu, memory)],
                "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "512Mi"}}],
            }
        },
    }
    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=False)
    return WRITTEN_BY + text


def _container(image: str, cpu: int, memory: str) -> dict[str, Any]:
    amounts = {"cpu": str(cpu), "memory": memory}
    return {
        "name": "kserve-container",
        "image": image,
        "env": [{"name": "PROTOCOL", "value": "v2"}],
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("ready", failures=_START_WITHIN // _PROBE_EVERY),
        "readinessProbe": _probe("ready", failures=3),
        "livenessProbe": _probe("live", failures=6),
        "resources": {"requests": amounts, "limits": dict(amounts)},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": SCRATCH}],
    }


def _probe(what: str, *, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": f"/v2/health/{what}", "port": PORT},
        "periodSeconds": _PROBE_EVERY,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
