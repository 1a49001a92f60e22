"""How Sphinx builds the documentation: `nox -s docs`."""

from __future__ import annotations

from importlib.metadata import version as version_of

import lastout

# What is public says that it is of `lastout`.  Sphinx takes overloads, and the order of methods,
# from the source, and looks for that where a thing says it is.
for name in (*lastout.__all__, *lastout._PICKLED):
    thing = getattr(lastout, name)
    for part in vars(thing).values() if isinstance(thing, type) else (thing,):
        source = getattr(part, "__globals__", {}).get("__name__", "")
        if source.startswith("lastout."):
            thing.__module__ = source

project = "lastout"
author = "The lastout maintainers"
copyright = author
version = release = version_of("lastout")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build", "explanation/speed/tables.md"]  # the tables are included
autodoc_mock_imports = ["distributed"]  # its plugins are base classes of ours
myst_heading_anchors = 3
default_role = "py:obj"  # docstrings write names as `name`

# Signatures show the types; the text of a docstring says what they mean.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"lastout {version}"
