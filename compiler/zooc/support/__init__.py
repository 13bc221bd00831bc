"""The machine: cache, files, memory, progress, torch's download cache."""
