"""Scopes as JSON; docs/reference/command-line.md describes it, and it only ever gets more keys.

Tested by: tests/cli/test_list_show.py, tests/cli/test_reap.py
"""

from __future__ import annotations

import json

from .output import describe_error, printing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from .._scopes.records.inspection import ArtifactView, MemberView, ScopeView
    from ..report import Outcome

FORMAT: Final = 1


def print_document(
    root: str, scopes: list[dict[str, Any]], compact: bool = False, **more: Any
) -> None:
    """Print one document: scopes, and what else is given."""
    document = {"format": FORMAT, "root": root, **more, "scopes": scopes}
    with printing() as out:
        print(json.dumps(document, indent=None if compact else 2), file=out, flush=compact)


def scope_as_json(view: ScopeView) -> dict[str, Any]:
    """A scope with its members and artifacts, as JSON has it."""
    return {
        "name": view.name,
        "path": view.path,
        "state": view.state,
        "age": _seconds(view.age),
        "members": [member_as_json(one) for one in view.members],
        "artifacts": [artifact_as_json(one) for one in view.artifacts],
        "problems": list(view.problems),
        "guardian": view.guardian,
    }


def member_as_json(view: MemberView) -> dict[str, Any]:
    """A member, as JSON has it."""
    member = view.member
    return {
        "token": member.token,
        "pid": member.pid,
        "host": member.host,
        "interpreter": member.interpreter,
        "program": view.program or None,
        "helper": view.helper,
        "alive": member.alive,
        "age": _seconds(view.age),
        "unresolved": member.unresolved,
        "keeps": member.keeps,
        "processes": [{"pid": one.pid, "argv": list(one.argv)} for one in view.processes],
    }


def artifact_as_json(view: ArtifactView) -> dict[str, Any]:
    """An artifact, as JSON has it."""
    artifact, size = view.artifact, view.size
    return {
        "id": artifact.id,
        "kind": artifact.kind,
        "location": artifact.location,
        "lifetime": artifact.lifetime,
        "after": list(artifact.after),
        "member": artifact.member,
        "argv": artifact.data.get("argv"),
        "pid": artifact.data.get("pid"),
        "due": view.due,
        "age": _seconds(view.age),
        "size": size.bytes if size else None,
        "size_complete": size.complete if size else None,
    }


def outcome_as_json(outcome: Outcome) -> dict[str, Any]:
    """How the cleaning of an artifact ended, as JSON has it."""
    return {
        "what": outcome.name,
        "status": outcome.status,
        "seconds": _seconds(outcome.seconds),
        "error": describe_error(outcome.failure.exception) if outcome.failure else None,
    }


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
