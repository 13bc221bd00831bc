"""vamc's and vdsp's files to `.zoo` files, and preprocessing back to vdsp files."""
