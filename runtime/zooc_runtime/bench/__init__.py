"""The benchmark in the manner of vamp."""
