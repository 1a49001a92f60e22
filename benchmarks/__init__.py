"""The budgets of the design, measured beside their rivals.

    python -m benchmarks [--quick] [--json FILE] [SUBJECT ...]
    python -m benchmarks.plots FILE DIRECTORY

Each subject is a module with a function `lines(quick)`, which yields what
`measure` makes of it, and runs in an interpreter of its own.  Times are only
ever compared within one run: ours and the rivals' alternate, so that noise
hits all alike, and medians are what counts.

That is why pyperf does not measure here: it runs one thing at a time, each in
fresh processes, minutes apart from what it is compared with; and forks, kills
and members of scopes need a hand on both sides.  What it knows of the machine
is added to the results where it is installed.  Rivals that are not installed
are left out.
"""
