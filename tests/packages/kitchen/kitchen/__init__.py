"""A package that brings kinds of its own: one that is good, and others that are not."""
