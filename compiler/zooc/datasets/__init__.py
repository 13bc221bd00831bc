"""Image sets put in order: validation images into class folders, and class-balanced draws.

Mistakes of the user's raise `zooc_runtime.PackageError`, as in the tools that the packages have too.
"""
