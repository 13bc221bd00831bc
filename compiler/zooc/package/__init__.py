"""The generated package: from its contents to files in place."""
