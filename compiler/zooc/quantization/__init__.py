"""Calibration, ranges and quantization of a float32 body."""
