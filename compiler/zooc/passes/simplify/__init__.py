"""ONNX graph work, one pass a file; see `docs/design/architecture.md`."""
