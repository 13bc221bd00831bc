"""The editor's side of the language: what is served to editors."""
