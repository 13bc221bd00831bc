"""The language: text to syntax tree to checked deployment, and everything about showing it."""
