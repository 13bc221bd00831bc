"""Vastai's vdsp_params files."""
