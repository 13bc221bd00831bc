"""From a network that is quantized already to the float network that it stands for."""
