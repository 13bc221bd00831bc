"""Errors at the edge, files, threads, the user's cache."""
