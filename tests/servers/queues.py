"""Queues: their jobs, and how each is started by its documentation."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from .harness import Server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support import Program

BOTH = ("TERM master", "INT master", "TERM worker")


def enqueue(directory: Path, child: Program) -> Callable[[], str]:
    """Bring a job, by the program that its application has for that."""
    environment = {**os.environ, "GUEST": "asking"}
    command = [sys.executable, "enqueue.py"]
    subprocess.run(command, cwd=directory, env=environment, check=True, timeout=60)
    return lambda: "-"


DRAMATIQ = """
import os
import dramatiq, guest
from dramatiq.brokers.redis import RedisBroker

dramatiq.set_broker(RedisBroker(url="unix://" + os.environ["REDIS"]))
BEGIN

@dramatiq.actor(max_retries=0)
def job():
    guest.work()
"""
DRAMATIQ_HOOK = DRAMATIQ.replace(
    "BEGIN",
    """
class Begin(dramatiq.Middleware):
    def before_worker_boot(self, broker, worker):
        guest.begin()

dramatiq.get_broker().add_middleware(Begin())
""",
)
CELERY = """
import os
import celery, guest
from celery.signals import worker_process_init, worker_process_shutdown

app = celery.Celery("app", broker="filesystem://")
folder = os.path.abspath("queue")
os.makedirs(folder, exist_ok=True)
ways = ("data_folder_in", "data_folder_out", "control_folder")
app.conf.broker_transport_options = dict.fromkeys(ways, folder)

@worker_process_init.connect
def begin(**_):
    guest.begin()
END

@app.task
def job():
    guest.work()
"""
CELERY_END = """
@worker_process_shutdown.connect
def end(**_):
    if os.environ["GUEST"] != "without":
        import lastout
        lastout.unwind()
"""
HUEY = """
import guest
from huey import SqliteHuey

huey = SqliteHuey(filename="huey.db")
BEGIN

@huey.task()
def job():
    guest.work()
"""
ARQ = """
import os
import guest
from arq.connections import RedisSettings

async def job(ctx):
    await guest.awork()

async def startup(ctx):
    guest.begin()

class Settings:
    functions = [job]
    on_startup = startup
    redis_settings = RedisSettings(unix_socket_path=os.environ["REDIS"])
"""
ARQ_ENQUEUE = """
import asyncio
import app
from arq import create_pool

async def main():
    pool = await create_pool(app.Settings.redis_settings)
    await pool.enqueue_job("job")
    await pool.aclose()

asyncio.run(main())
"""
RQ = """
import guest

def job():
    guest.begin()
    guest.work()
"""
RQ_ENQUEUE = """
import os
import app, redis, rq
rq.Queue(connection=redis.Redis(unix_socket_path=os.environ["REDIS"])).enqueue(app.job)
"""
RQ_END = """
import os
import rq

class Worker(rq.Worker):
    def perform_job(self, *args):
        try:
            return super().perform_job(*args)
        finally:
            if os.environ["GUEST"] != "without":
                import lastout
                lastout.unwind()
"""
HUEY_PROCESS = HUEY.replace("BEGIN", "huey.on_startup()(guest.begin)")
LOST = {"TERM master": "lost", "INT master": "lost"}


def _celery(*options: str, app: str = CELERY) -> Server:
    command = (
        "-m",
        "celery",
        "-A",
        "app",
        "worker",
        "-c",
        "1",
        "--without-mingle",
        "--without-gossip",
        *options,
    )
    files = {"app.py": app, "enqueue.py": "import app\napp.job.delay()\n"}
    return Server(("celery",), files, command, enqueue, BOTH)


def _dramatiq(app: str) -> Server:
    return Server(
        ("dramatiq", "redis"),
        {"app.py": app, "enqueue.py": "import app\napp.job.send()\n"},
        ("-m", "dramatiq", "-p", "1", "-t", "1", "app"),
        enqueue,
        (*BOTH, "HUP master"),
    )


SERVERS = {
    "dramatiq": _dramatiq(DRAMATIQ.replace("BEGIN", "guest.begin()")),
    "dramatiq-hook": _dramatiq(DRAMATIQ_HOOK),
    "celery": _celery(app=CELERY.replace("END", ""))._replace(
        handlers={**LOST, "TERM worker": "lost"}
    ),
    "celery-end": _celery(app=CELERY.replace("END", CELERY_END)),
    "celery-solo": _celery(
        "-P", "solo", app=CELERY.replace("END", "").replace("worker_process_init", "worker_init")
    ),
    "rq": Server(
        ("rq",),
        {"app.py": RQ, "enqueue.py": RQ_ENQUEUE},
        ("-m", "rq.cli", "worker", "-u", "unix://REDIS"),
        enqueue,
        BOTH,
        LOST,
        quiet="registries",  # what is maintained when
    ),
    "rq-end": Server(
        ("rq",),
        {"app.py": RQ, "enqueue.py": RQ_ENQUEUE, "end.py": RQ_END},
        ("-m", "rq.cli", "worker", "-u", "unix://REDIS", "-w", "end.Worker"),
        enqueue,
        BOTH,
        quiet="registries",
    ),
    "huey": Server(
        ("huey",),
        {"app.py": HUEY.replace("BEGIN", "guest.begin()"), "enqueue.py": "import app\napp.job()\n"},
        ("-m", "huey.bin.huey_consumer", "app.huey", "-w", "1"),
        enqueue,
        ("TERM master", "INT master"),
    ),
    "huey-process": Server(
        ("huey",),
        {"app.py": HUEY_PROCESS, "enqueue.py": "import app\napp.job()\n"},
        ("-m", "huey.bin.huey_consumer", "app.huey", "-w", "1", "-k", "process"),
        enqueue,
        BOTH,
    ),
    "arq": Server(
        ("arq",),
        {"app.py": ARQ, "enqueue.py": ARQ_ENQUEUE},
        ("-m", "arq", "app.Settings"),
        enqueue,
        quiet="redis_version",  # and how much memory it uses
    ),
}
