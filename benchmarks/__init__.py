"""The budgets of the design, measured beside their rivals.

    python -m benchmarks [--quick] [SUBJECT ...]

Each subject is a module with a function `lines(quick)`, which yields what
`measure` makes of it, and runs in an interpreter of its own.  Times are only
ever compared within one run: ours and the rivals' alternate, so that noise
hits all alike, and medians are what counts.
"""
