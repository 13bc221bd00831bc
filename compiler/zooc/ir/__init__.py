"""The graph: what every part that reads or rewrites ONNX shares."""
