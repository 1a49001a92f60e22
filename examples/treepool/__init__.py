"""The rooms of `compress_tree.py`: a pool of workers that leaves nothing behind.

    compress_tree  ==> job ==> Pool ==> worker   each with a scratch directory,
    (the options)       |                 |      a connection and counters, and
                        |                 |      an exit handler for each of them
                        +== collector <===+
                        |   (the other end of each connection)
                        v
                     account ==> show            what each worker cleaned up,
                                                 and whether anything is left

`files` finds and packs; it knows nothing of processes.
"""
