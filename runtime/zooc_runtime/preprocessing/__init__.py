"""Decoding, and preprocessing outside of a graph."""
