"""The breaks: one line of lastout replaced by another, and the tests that must see it."""

from __future__ import annotations

from typing import NamedTuple

POINTS = "tests/crash/test_points.py::test_every_call"
PAIRS = "tests/crash/test_pairs.py::test_every_pair"
OTHERS = "tests/properties/test_somebody_else.py"
REFUSALS = "tests/properties/test_refusals.py"


class Sabotage(NamedTuple):
    """One break.

    Attributes:
        breaks: which promise (DESIGN.md: I1 to I7), and how.
        file: where, below `src/lastout`.
        old: what stands there, once.
        new: what is put in its place.
        seen_by: the tests of which at least one must fail.
        steps: how the steps begin that the crash tests need to look at.
    """

    breaks: str
    file: str
    old: str
    new: str
    seen_by: tuple[str, ...]
    steps: str = ""


SABOTAGES = (
    Sabotage(
        "I1: things are made without a record",
        "_scopes/membership/recording.py",
        "self.append(journals.made(made_ns, number, kind, location, lifetime, after, data))",
        "journals.made(made_ns, number, kind, location, lifetime, after, data)",
        (f"{POINTS}[make]",),
    ),
    Sabotage(
        "I1: a journal goes though something in it stays",
        "_scopes/reaping/reaper.py",
        "if not journal.damage and all(",
        "if not journal.damage or all(",
        (f"{POINTS}[leave]", f"{POINTS}[reap]"),
    ),
    Sabotage(
        "I1: what was begun counts as done",
        "_scopes/records/journal.py",
        "self.begun.update(record[1])",
        "self.gone.update(record[1])",
        (f"{POINTS}[reap]", f"{POINTS}[leave]"),
    ),
    Sabotage(
        "I1: what could not be made in whole stays, and is forgotten",
        "_scopes/kinds/paths.py",
        "        remove(location)\n",
        "",
        (f"{POINTS}[make]",),
    ),
    Sabotage(
        "I2: what belongs to the scope goes with the member that made it",
        "_scopes/records/survey.py",
        'if not self.living or artifact.lifetime == "member"',
        "if artifact.lifetime",
        (f"{POINTS}[leave]", f"{POINTS}[make]"),
    ),
    Sabotage(
        "I2: everybody who leaves thinks it is the last one",
        "_scopes/reaping/reaper.py",
        "if not survey.living and len(empty)",
        "if len(empty)",
        (f"{POINTS}[leave]",),
    ),
    Sabotage(
        "I2: nothing is handed over to a forked child",
        "_scopes/membership/handover.py",
        "return membership.journal.publish_for_another(token, more)",
        "return None",
        (f"{POINTS}[fork]", PAIRS),
        "fork",
    ),
    Sabotage(
        "I2: whoever lost its descriptors is taken for dead",
        "_scopes/records/liveness.py",
        "return not runs or (executed and not made)",
        "return True",
        (f"{OTHERS}::test_who_lost_its_descriptors_loses_nothing_else",),
    ),
    Sabotage(
        "I3: the oldest goes first",
        "_scopes/records/plan.py",
        "reverse=True",
        "reverse=False",
        (f"{POINTS}[leave]",),
    ),
    Sabotage(
        "I3: `after` is forgotten",
        "_scopes/records/plan.py",
        "edges[artifact.id] = wanted",
        "edges[artifact.id] = []",
        (f"{POINTS}[leave]",),
    ),
    Sabotage(
        "I3: what lies inside a directory does not matter",
        "_scopes/records/plan.py",
        "edges.setdefault(outer, []).append(inner)",
        "edges.setdefault(outer, [])",
        ("tests/properties/test_plan.py",),
    ),
    Sabotage(
        "I4: nobody waits for whoever holds the scope",
        "backends/local.py",
        "            wait_for(lock, path, deadline)\n",
        "",
        (PAIRS,),
        "leave",
    ),
    Sabotage(
        "I4: what is done is done again",
        "_scopes/records/journal.py",
        'elif verb in ("done", "kept"):',
        'elif verb == "kept":',
        (f"{POINTS}[reap]", f"{POINTS}[leave]"),
    ),
    Sabotage(
        "I5: a joiner goes on in a scope that was swept meanwhile",
        "backends/local.py",
        "if still_there(scope, root, directory):",
        "if True:",
        (PAIRS,),
        "join",
    ),
    Sabotage(
        "I5: a journal can be seen before it is locked, so a new child looks dead",
        "backends/journals.py",
        "if not lock_descriptor(self.descriptor.number, blocking=False):",
        "if False:",
        (f"{POINTS}[fork]", PAIRS),
        "fork",
    ),
    Sabotage(
        "I6: what others can write to is trusted",
        "backends/root.py",
        "elif found.st_mode & 0o022:",
        "elif found.st_mode & 0:",
        (f"{OTHERS}::test_what_others_can_write_is_not_obeyed",),
    ),
    Sabotage(
        "I6: links are followed while a directory is removed",
        "_scopes/kinds/directory.py",
        "_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC",
        "_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC",
        (f"{OTHERS}::test_no_link_is_followed",),
    ),
    Sabotage(
        "I5: a child takes for its own what another thread of its parent was just joining",
        "_scopes/membership/handover.py",
        "membership.counted_out or not (membership in handed or membership.origin.is_here())",
        "membership.counted_out",
        ("tests/shared/test_races.py::test_a_fork_while_another_thread_joins",),
    ),
    Sabotage(
        "I6: what took another's place is removed",
        "_scopes/kinds/paths.py",
        "elif inode is not None and",
        "elif False and",
        (f"{OTHERS}::test_what_took_its_place_stays",),
    ),
    Sabotage(
        "I7: half a record on a full disk counts as written",
        "backends/journals.py",
        "if written != len(records):",
        "if written < 0:",
        (f"{REFUSALS}::test_half_a_record_is_none",),
    ),
    Sabotage(
        "I7: a record is joined to the torn one before it",
        "_scopes/records/journal.py",
        'return b"\\n%08x %b" % (crc32(body), body)',
        'return b"%08x %b\\n" % (crc32(body), body)',
        ("tests/properties/test_journal.py",),
    ),
    Sabotage(
        "I7: a lock stays held when a descriptor cannot be looked at",
        "backends/descriptors.py",
        "return error.errno != EBADF",
        "return False",
        (f"{REFUSALS}::test_no_lock_is_kept",),
    ),
)
