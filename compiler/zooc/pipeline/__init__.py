"""One file for each use case, from a request to its result."""
