"""Crash points: every system call of the protocol killed, torn, failed, stopped.

shim.c         counts the calls, does the harm, and tapes what changed something
shim.py        builds it, and drives it from Python
world.py       where steps happen, and who else is there
steps.py       what is harmed: joining, forking, each kind of thing, leaving, reaping
guardians.py   ... and of guardians: their start, themselves, what they have done by jobs
family.py      the processes of an exploration
explore.py     one process that is harmed: each step, each call, each harm
interleave.py  two processes: one stopped at each call while the other does a whole step
checker.py     judges what happened by the tape, the journals and the disk alone
things.py      members and things, as they stand in journals
"""
