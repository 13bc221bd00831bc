"""The prelude: preprocessing as ONNX operators, and its folding into the network."""
