"""The rooms of `compress_tree.py`: a pool of workers that leaves nothing behind.

    compress_tree  ==> job ==> Pool ==> worker   each a member of the scope, with a
    (the options)       |                 |      scratch directory that goes with it,
     a scope: the directory of the run,   |      a connection and counters, and an
     shared memory for all counters       |      exit handler for each of these
                        |                 |
                        +== collector <===+
                        |   (the other end of each connection)
                        v
                     account ==> show            what was cleaned, by whom, in which
                                                 order, and whether anything is left

`files` finds and packs; it knows nothing of processes.
"""
