"""Rewrites of the float graph."""
