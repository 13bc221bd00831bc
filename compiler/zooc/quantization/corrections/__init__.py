"""What makes a quantized network more exact without changing its form."""
