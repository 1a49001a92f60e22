"""A module that a fork server imports before it has any child: it registers for them."""

from __future__ import annotations

from family import register

register("preloaded")
