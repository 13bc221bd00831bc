"""Importers of other tools' descriptions."""
