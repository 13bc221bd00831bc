"""One file for each block of the language."""
