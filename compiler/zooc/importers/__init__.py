"""vamc's and vdsp's files to `.zoo` files, and preprocessing back to vdsp files."""

from zooc.importers.export_vdsp import NotExpressible, vdsp_document
from zooc.importers.importing import Imported, RecipeOf, import_files

__all__ = ["Imported", "NotExpressible", "RecipeOf", "import_files", "vdsp_document"]
