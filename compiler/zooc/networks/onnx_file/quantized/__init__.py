"""Files that are quantized already, brought to one form: float operators between pairs of QuantizeLinear."""
