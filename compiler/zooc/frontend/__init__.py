"""The language: text to syntax tree to checked deployment, and everything about showing it."""

from __future__ import annotations

from zooc.frontend.analysis import analyze, load_deployment, variant_names
from zooc.frontend.explain import explain, known_codes, near_codes
from zooc.frontend.formatter import format_source
from zooc.frontend.parser import parse
from zooc.frontend.render import print_diagnostics, render, to_json
from zooc.frontend.source import read_source
from zooc.frontend.suggest import did_you_mean

__all__ = [
    "analyze",
    "did_you_mean",
    "explain",
    "format_source",
    "known_codes",
    "load_deployment",
    "near_codes",
    "parse",
    "print_diagnostics",
    "read_source",
    "render",
    "to_json",
    "variant_names",
]
