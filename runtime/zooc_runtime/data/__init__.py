"""Where images come from: folders, archives, tables and lists, on this machine or elsewhere."""
