"""Breaks on purpose: each one must make a test fail; `nox -s sabotage`."""
