"""Exact rewrites into operators that engines have in integers."""
