"""Mutants: lastout changed in one place at a time; `nox -s mutation`."""
