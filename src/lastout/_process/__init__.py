"""One process: exit handlers lie on a stack, and an event unwinds it.

    register() · @handler ==> registry ==> stack
    exit · signal · end of a child ==> unwind(deadline) ==> Report

Only the standard library is imported here, and of that nothing slow to load.
"""

# The packages whose children are followed; never imported from here.
PACKAGES = ("multiprocessing", "multiprocess")
