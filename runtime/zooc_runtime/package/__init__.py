"""The package's files: manifest, and stages cut out of the graph."""
