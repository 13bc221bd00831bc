"""zooc compiles a vision classifier's deployment description into an ONNX graph and a Python package."""

__version__ = "0.1.0"
