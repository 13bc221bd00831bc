"""Diagnostics as data, their rendering, their pages and near words."""
