"""From text to the syntax tree, and from the tree back to formatted text."""
