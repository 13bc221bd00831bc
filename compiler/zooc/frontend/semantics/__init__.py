"""From the syntax tree to a checked `Deployment`."""
