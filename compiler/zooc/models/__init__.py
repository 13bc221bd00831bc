"""Sources of networks: an ONNX file, timm, torchvision, the official ResNeSt and iResNet."""

from __future__ import annotations

from zooc.models.load import export_network, load_network
from zooc.models.network import Network
from zooc.models.onnx_read import read_onnx
from zooc.models.parameters import count_parameters

__all__ = ["Network", "count_parameters", "export_network", "load_network", "read_onnx"]
