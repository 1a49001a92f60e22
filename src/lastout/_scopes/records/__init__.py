"""Records: what is written down of a scope, and what follows from it."""
