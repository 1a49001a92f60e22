"""The machine that figures come from: without it they say nothing."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib import metadata
from pathlib import Path

from .rivals import rival as optional

RIVALS = ("filelock", "psutil", "multiexit", "loky", "distributed", "multiprocess")


def describe() -> dict[str, str]:
    """What ran the benchmarks, in words."""
    place = Path(tempfile.gettempdir())
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "file system": _file_system(place),
        "load before": f"{os.getloadavg()[0]:.1f}",
        "rivals": ", ".join(f"{name} {found}" for name in RIVALS if (found := _version(name))),
        **_told_by_pyperf(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _file_system(place: Path) -> str:
    """The type of the file system that a directory lies on: of the longest mount point above it."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [(len(point), kind) for point, kind in mounts if place.resolve().is_relative_to(point)]
    return max(found)[1]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _told_by_pyperf() -> dict[str, str]:
    """What pyperf finds out besides, about what makes timings unsteady."""
    pyperf = optional("pyperf")
    if pyperf is None:
        return {}
    told = pyperf.Run([1.0], collect_metadata=True).get_metadata()
    names = ("aslr", "cpu_config", "python_compiler")
    return {name.replace("_", " "): str(told[name]) for name in names if name in told}
