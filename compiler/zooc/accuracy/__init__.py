"""Where int8 loses: a quantized body against its float reference, layer by layer."""
