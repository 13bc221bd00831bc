"""Placement by measuring: regions of a network, timed in integers and in float, in turn."""
