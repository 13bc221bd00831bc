"""A loaded package: engines, settings, scheduling, results."""
