"""Pools and event loops of other packages, through their public API and by the same words.

    pools      worker     for every pool with an `initializer=`: multiprocessing, multiprocess,
                          concurrent.futures, loky, joblib, pebble, billiard,
                          a DataLoader
    dask       worker     the same as a plugin of dask.distributed
               nanny      the process that keeps the workers keeps the scope, too
    asyncio    register, unregister, handler, unwind     exit handlers that are coroutines

These modules replace and patch nothing in other packages; billiard's `on_process_exit=` is
called as before.  `import lastout` loads none of them, and each loads another package only when
it is used.

Tested by: tests/integrations/test_pools.py
"""
