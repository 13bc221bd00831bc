"""Ranges found by what the network makes of them."""
