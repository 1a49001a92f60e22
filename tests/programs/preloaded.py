"""A module that a forkserver imports before it has any child: it registers there."""

from __future__ import annotations

from family import register

register("preloaded")
