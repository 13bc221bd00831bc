"""The command line: options, the one place where errors are rendered, and a file for each command."""
