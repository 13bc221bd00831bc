"""Reconstruction: weights and biases learned block by block against the float network."""
