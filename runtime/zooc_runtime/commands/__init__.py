"""The package's command line."""
