"""Other people's pools and loops, through their public API only; one vocabulary for all.

    pools      worker     whatever takes an `initializer=`: multiprocessing, multiprocess,
                          concurrent.futures, loky, joblib, pebble, billiard,
                          a DataLoader
    dask       worker     the same as a plugin of dask.distributed
               nanny      what keeps its workers keeps the scope
    asyncio    register, unregister, handler, unwind     exit handlers that are coroutines

Nothing of theirs is replaced or patched; billiard's `on_process_exit=` is called as before.
`import lastout` loads none of these modules, and none of them loads a package of other people's
before it is used.
"""
