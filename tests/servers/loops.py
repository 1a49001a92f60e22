"""Schedulers, loops and supervisors: a job in each, started as its documentation says."""

from __future__ import annotations

import sys

from .harness import Server, job

GRACEFUL_CHILD = """
import guest, signal, threading
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
guest.begin()
guest.work()
stop.wait()
"""
SUPERVISORD = f"""[supervisord]
logfile=/dev/null
logfile_maxbytes=0
[program:child]
command={sys.executable} child.py
startsecs=0
stopwaitsecs=30
"""
CIRCUS = f"""[circus]
endpoint = ipc://endpoint
pubsub_endpoint = ipc://pubsub
[watcher:child]
cmd = {sys.executable} child.py
copy_env = True
graceful_timeout = 30
"""


def _script(text: str, package: str, *events: str) -> Server:
    return Server(
        (package,), {"serve.py": text}, ("serve.py",), job, events or ("TERM master", "INT master")
    )


SERVERS = {
    "apscheduler": _script(
        """
        import guest
        from apscheduler.schedulers.blocking import BlockingScheduler

        scheduler = BlockingScheduler()
        scheduler.add_job(guest.work)
        guest.begin()
        try:
            scheduler.start()
        except (KeyboardInterrupt, SystemExit):
            scheduler.shutdown()
        """,
        "apscheduler",
    ),
    "trio": _script(
        """
        import guest, signal, trio

        async def stop(scope, *, task_status):
            with trio.open_signal_receiver(signal.SIGTERM) as signals:
                task_status.started()
                async for _ in signals:
                    print("draining", flush=True)
                    return

        async def main():
            async with trio.open_nursery() as nursery:
                await nursery.start(lambda *, task_status: stop(nursery, task_status=task_status))
                guest.begin()
                await trio.to_thread.run_sync(guest.work)

        trio.run(main)
        """,
        "trio",
    ),
    "anyio": _script(
        """
        import anyio, guest, signal

        async def main():
            with anyio.open_signal_receiver(signal.SIGTERM) as signals:
                guest.begin()
                async with anyio.create_task_group() as group:
                    group.start_soon(guest.awork)
                    async for _ in signals:
                        print("draining", flush=True)
                        break

        anyio.run(main)
        """,
        "anyio",
    ),
    "watchfiles": Server(
        ("watchfiles",),
        {
            "serve.py": """
            import guest, watchfiles

            def target():
                guest.begin()
                guest.work()
                import time
                time.sleep(600)

            if __name__ == "__main__":
                watchfiles.run_process("watched.py", target=target, sigint_timeout=20)
            """,
            "watched.py": "",
        },
        ("serve.py",),
        job,
    ),
    "luigi": _script(
        """
        import guest, luigi

        class Job(luigi.Task):
            made = False
            def run(self):
                guest.work()
                self.made = True
            def complete(self):
                return self.made

        guest.begin()
        luigi.build([Job()], local_scheduler=True)
        """,
        "luigi",
    ),
    "supervisor": Server(
        ("supervisor",),
        {"child.py": GRACEFUL_CHILD, "config.py": SUPERVISORD},
        ("-m", "supervisor.supervisord", "-n", "-c", "config.py"),
        job,
        ("TERM master", "INT master"),
    ),
    "circus": Server(
        ("circus",),
        {"child.py": GRACEFUL_CHILD, "config.py": CIRCUS},
        ("-m", "circus.circusd", "config.py"),
        job,
        ("TERM master", "INT master"),
    ),
}
