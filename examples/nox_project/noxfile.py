"""A user's noxfile: `nox -s stress` runs the storm until Ctrl-C, or for `-- --seconds 60`."""

from __future__ import annotations

import nox


@nox.session
def stress(session: nox.Session) -> None:
    """Run the storm; after Ctrl-C nox kills what still runs half a second later."""
    if session.venv_backend != "none":
        session.install("lastout")
    session.run("python", "storm.py", *session.posargs)
