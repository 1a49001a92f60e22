"""Work in a module that is imported in the child, while it is running."""

from __future__ import annotations


def work() -> None:
    """What a child does: it imports the module that registers by decoration."""
    import decorated

    decorated.work()
