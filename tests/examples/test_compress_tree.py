"""`examples/compress_tree.py`, the main job: it works, cleans up, and says when it did not."""

from __future__ import annotations

import gzip
import hashlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from support import eventually
from support.example import SECONDS, Example

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = ("multiprocessing", "multiprocess")
METHODS = ("fork", "forkserver", "spawn")
NOTHING_LEFT = "Nothing is left: no directory, no shared memory, no connection, no process."


@pytest.fixture
def example() -> Iterator[Example]:
    """Runs the example; fails a test after which its temporary directory is not empty."""
    # Not in `tmp_path`: the path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="lastout-") as temporary:
        running = Example(Path(temporary))
        try:
            yield running
        finally:
            running.close()
        # multiprocessing's own directory goes a moment after its process.
        assert eventually(lambda: not os.listdir(temporary)), os.listdir(temporary)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with an empty file, a large one, odd names and a link."""
    root = tmp_path / "tree"
    (root / "below" / "[red]").mkdir(parents=True)
    (root / "empty").touch()
    (root / "large").write_bytes(os.urandom(3 << 20))
    (root / "below" / "new\nline").write_text("of a name")
    (root / "below" / os.fsdecode(b"\xff")).write_text("no UTF-8")
    (root / "link").symlink_to("large")
    for number in range(20):
        (root / "below" / "[red]" / f"{number}.txt").write_text(f"file {number}\n" * 100)
    return root


FILES = 24
# What a killed worker could not do, and what was done for it.
KILLED = ["lost", "by", "the", "kernel", "removed"]


@pytest.mark.thorough(one_in=5)
@pytest.mark.parametrize("end", ["close", "terminate"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("package", PACKAGES)
def test_every_worker_cleans_up(
    package: str, method: str, end: str, example: Example, tree: Path
) -> None:
    """By every start method of both packages, closed or terminated, nothing is left."""
    options = ["--terminate"] if end == "terminate" else []
    run = example(tree, "--workers", 2, "--package", package, "--start-method", method, *options)
    assert run.status == 0, run.out + run.err
    assert NOTHING_LEFT in run.out
    assert [row[-4:-1] for row in run.workers] == [["flushed", "closed", "removed"]] * 2
    assert sum(int(row[1]) for row in run.workers) == FILES
    # A pool that is terminated lets a worker that has ended by itself do so.
    assert {row[-1] for row in run.workers} <= {"exit", *(["SIGTERM"] if options else [])}
    assert "Exception" not in run.err, run.err


def test_the_output_holds_every_file(example: Example, tree: Path, tmp_path: Path) -> None:
    """`--output` holds a gzip file and a checksum for each file of the tree, and no more."""
    output = tree / "packed"  # what lies in the tree is not packed again
    run = example(tree, "--output", output, "--workers", 2)
    assert run.status == 0, run.out + run.err
    packed = {p.relative_to(output) for p in output.rglob("*") if p.is_file()}
    packed.remove(Path("SHA256SUMS"))
    assert len(packed) == FILES
    for path in packed:
        original = tree / path.with_name(path.name.removesuffix(".gz"))
        assert gzip.decompress((output / path).read_bytes()) == original.read_bytes()
    sums = (output / "SHA256SUMS").read_bytes()
    assert len(sums.splitlines()) == FILES
    digest = hashlib.sha256((tree / "large").read_bytes()).hexdigest()
    assert f"{digest}  large\n".encode() in sums
    assert rb"  below/new\nline" in sums


def test_sha256sum_accepts_the_checksums(example: Example, tree: Path) -> None:
    """`sha256sum --check` finds every file of the tree, odd names included."""
    output = tree.parent / "packed"
    assert example(tree, "--output", output).status == 0
    try:
        checked = subprocess.run(
            ["sha256sum", "--check", "--strict", output / "SHA256SUMS"],
            cwd=tree,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except FileNotFoundError:
        pytest.skip("this system has no sha256sum")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_limit_is_kept(example: Example, tree: Path) -> None:
    """`--limit` packs that many files, and more workers than files all clean up."""
    run = example(tree, "--limit", 3, "--workers", 5)
    assert run.status == 0, run.out + run.err
    assert len(run.workers) == 5
    assert run.out.count("closed") == 5
    assert "\n3 files, " in run.out


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["{tree}/nowhere"], "nowhere cannot be read: No such file or directory"),
        (["{tree}/large"], "large cannot be read: Not a directory"),
        (["{tree}/below", "--output", "{tree}"], "is not empty: name a new directory"),
        (["{tree}", "--output", "{tree}/large"], "large cannot be made: File exists"),
        (["{tree}", "--workers", "0"], "--workers: must be a whole number from 1 on, not '0'"),
        (["{tree}", "--kill", "9", "--limit", "8"], "--kill 9: there are only 8 files"),
        (["{tree}", "--limit", "-1"], "--limit: must be a whole number from 1 on, not '-1'"),
        (["{tree}", "--start-method", "teleport"], "invalid choice: 'teleport'"),
        (["{tree}", "--package", "threading"], "invalid choice: 'threading'"),
    ],
)
def test_bad_input_is_refused(options: list[str], why: str, example: Example, tree: Path) -> None:
    """What cannot be done is refused with status 2 and a line that says why."""
    run = example(*[option.format(tree=tree) for option in options])
    assert run.status == 2
    assert why in run.err.splitlines()[-1]
    assert run.out == ""


def test_a_tree_without_files_is_refused(example: Example, tmp_path: Path) -> None:
    """An empty tree is refused, and its output directory is not made."""
    (tmp_path / "tree").mkdir()
    run = example(tmp_path / "tree", "--output", tmp_path / "packed")
    assert run.status == 2
    assert "there is no file to pack" in run.err
    assert not (tmp_path / "packed").exists()


def test_vanished_files_are_named(example: Example, tree: Path) -> None:
    """A file that vanishes after it was found is named, and is not an error of the job."""
    change = f"""
def find(*args, find=files.find):
    found = find(*args)
    os.unlink({str(tree / "below" / "[red]" / "7.txt")!r})
    return found
files.find = find
"""
    run = example(tree, "--workers", 2, change=change)
    assert run.status == 0, run.out + run.err
    assert "1 could not be read:\n  below/[red]/7.txt: No such file or directory" in run.out
    assert f"\n{FILES - 1} files, " in run.out


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_unreadable_files_and_directories_are_named(example: Example, tree: Path) -> None:
    """What may not be read is named, and the rest is packed."""
    (tree / "large").chmod(0)
    (tree / "below").chmod(0)
    run = example(tree, "--workers", 2)
    (tree / "below").chmod(0o700)
    assert run.status == 0, run.out + run.err
    assert "  below: Permission denied\n  large: Permission denied" in run.out


BREAKS = {
    "scratch not the scope's": (
        """
def directory(scope, path, directory=lastout.Scope.directory, **options):
    return os.mkdir(path) or path if options else directory(scope, path)
lastout.Scope.directory = directory
""",
        ["scratch directory"],
    ),
    "no goodbye": (
        "worker.Connection.close = lambda self: self._socket.close()",
        ["connection of process"],
    ),
    "counters not written": (
        "worker.Worker.write_counters = lambda self: None",
        ["counters of process"],
    ),
    "a process that runs": ("account.how_it_ended = lambda status: 'running'", ["process "]),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_what_is_left_is_reported(broken: str, example: Example, tree: Path) -> None:
    """A worker that does not clean up one of its things makes the job fail and is named."""
    change, left = BREAKS[broken]
    run = example(tree, "--workers", 2, "--terminate", change=change)
    assert run.status == 1, run.out + run.err
    assert "Nothing is left" not in run.out
    for what in left:
        assert f"Left behind: the {what}" in run.out or f"Left behind: {what}" in run.out


def test_what_a_killed_worker_was_at_is_done_by_another(example: Example, tree: Path) -> None:
    """A worker that dies in the middle loses no file, and what it had is cleaned by others."""
    change = f"""
def pack(source, *args, pack=files.pack):
    if source.endswith("/large") and not os.path.exists({str(tree.parent / "killed")!r}):
        os.mkdir({str(tree.parent / "killed")!r})
        os.kill(os.getpid(), signal.SIGKILL)
    return pack(source, *args)
files.pack = pack
"""
    run = example(tree, "--workers", 2, change=change)
    assert run.status == 0, run.out + run.err
    assert f"\n{FILES} files, " in run.out
    assert NOTHING_LEFT in run.out
    [killed] = [row for row in run.workers if row[-1] == "SIGKILL"]
    assert killed[-6:-1] == KILLED
    others = [row[-4:-1] for row in run.workers if row[-1] != "SIGKILL"]
    assert others == [["flushed", "closed", "removed"]] * 2


@pytest.mark.thorough(one_in=2)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("package", PACKAGES)
def test_what_killed_workers_had_is_cleaned(
    package: str, method: str, example: Example, tree: Path
) -> None:
    """With `--kill` every file is packed, and nothing is left of killed workers, in order."""
    options = ["--package", package, "--start-method", method]
    run = example(tree, "--workers", 2, "--kill", 2, *options)
    assert run.status == 0, run.out + run.err
    assert NOTHING_LEFT in run.out
    assert f"\n{FILES} files, " in run.out
    killed = {row[0]: row[-6:-1] for row in run.workers if row[-1] == "SIGKILL"}
    assert list(killed.values()) == [KILLED] * 2, run.out
    *scratch, directory, memory = run.cleaned
    # Each worker's own directory once, then what they shared, the last one made first.
    assert len({what for what, *_ in scratch}) == len(scratch) == len(run.workers)
    assert directory[0].startswith("directory compress_tree-")
    assert memory[0].startswith("shared_memory ")
    assert {by.split()[0] for _, _, by, _ in (directory, memory)} == {"parent"}
    assert [how for *_, how in (directory, memory)] == ["leaving last"] * 2
    for what, of, by, how in scratch:
        owner = of.partition(",")[0]
        assert what == f"directory scratch/{owner}"
        if owner in killed:
            assert by.split()[1] != owner
            assert how in ("reaping", "joining", "leaving")
        else:
            assert (by, how) == (f"worker {owner}", "leaving")
    # A worker that is killed is cleaned up after while the others go on.
    assert {of.partition(",")[0] for _, of, _, _ in scratch[:2]} == set(killed)


def test_what_all_had_is_cleaned_when_all_were_killed(example: Example, tree: Path) -> None:
    """When the whole job is killed, `reap` removes all that it had."""
    running = example.start(tree, "--workers", 2, change=ENDLESS)
    assert eventually(lambda: len(example.drafts()) == 2, SECONDS)
    os.killpg(running.pid, signal.SIGKILL)
    assert example.end(running).status == -signal.SIGKILL
    cleaned: list[str] = []

    def reaped() -> bool:
        # The workers may take longer to die than their parent.
        report = lastout.reap()
        assert report.ok, report
        cleaned.extend(outcome.name.partition(" ")[0] for outcome in report)
        return not os.listdir(os.environ["LASTOUT_ROOT"])

    assert eventually(reaped, SECONDS)
    assert sorted(cleaned) == ["directory"] * 3 + ["shared_memory"]


def test_a_file_that_ends_every_worker_ends_the_job(example: Example, tree: Path) -> None:
    """A file of which every worker dies is given up after some tries, and named."""
    change = """
def pack(source, *args, pack=files.pack):
    if source.endswith("/empty"):
        os.kill(os.getpid(), signal.SIGKILL)
    return pack(source, *args)
files.pack = pack
"""
    run = example(tree, "--workers", 2, change=change)
    assert run.status == 1, run.out + run.err
    assert "Not finished: empty did not come back from 5 workers" in run.out


def test_a_worker_that_cannot_start_ends_the_job(example: Example, tree: Path) -> None:
    """A worker that cannot have what it needs ends the job with the reason, and without a hang."""
    change = """
def no_space(*args, **kwargs):
    raise OSError(28, "No space left on device")
worker.Connection = no_space
"""
    run = example(tree, "--workers", 2, change=change)
    assert run.status == 1, run.out + run.err
    assert "could not start: [Errno 28] No space left on device" in run.out


# A worker is at its first file until it is stopped.
ENDLESS = """
from time import sleep
def pack(source, target, go_on):
    open(target, "wb").close()
    while go_on():
        sleep(0.01)
files.pack = pack
"""


def test_what_is_left_by_workers_that_do_not_handle_signals(example: Example, tree: Path) -> None:
    """Workers that die of a signal leave what only they can give back, and it is named."""
    change = """
public = {name: getattr(lastout, name) for name in lastout.__all__}
worker.lastout = Module(**{**public, "handle_signals": lambda: None})
"""
    running = example.start(tree, "--workers", 2, change=change + ENDLESS)
    assert eventually(lambda: len(example.drafts()) == 2, SECONDS)
    os.killpg(running.pid, signal.SIGINT)
    run = example.end(running)
    assert run.status == 1, run.out + run.err
    assert [row[-4:] for row in run.workers] == [["lost", "lost", "removed", "SIGTERM"]] * 2
    for what in ("counters of process", "connection of process"):
        assert run.out.count(f"Left behind: the {what}") == 2


def test_nothing_is_left_after_ctrl_c(example: Example, tree: Path) -> None:
    """Ctrl-C, which reaches every process, ends the job with status 130 and nothing left."""
    running = example.start(tree, "--workers", 2, change=ENDLESS)
    assert eventually(lambda: len(example.drafts()) == 2, SECONDS)
    os.killpg(running.pid, signal.SIGINT)
    run = example.end(running)
    assert run.status == 130, run.out + run.err
    assert "Not finished: interrupted" in run.out
    assert NOTHING_LEFT in run.out
    assert "Traceback" not in run.err, run.err


def test_nothing_is_left_after_sigterm(example: Example, tree: Path) -> None:
    """SIGTERM to the parent ends the workers and removes what the run has made."""
    running = example.start(tree, "--workers", 2, change=ENDLESS)
    assert eventually(lambda: len(example.drafts()) == 2, SECONDS)
    running.send_signal(signal.SIGTERM)
    run = example.end(running)
    assert run.status == -signal.SIGTERM, run.out + run.err
    assert "Traceback" not in run.err, run.err


def test_a_reader_that_goes_away_ends_it_quietly(example: Example, tree: Path) -> None:
    """When nobody reads the output any more, it ends without a traceback."""
    running = example.start(tree, "--workers", 1)
    assert running.stdout is not None
    running.stdout.close()
    running.stdout = None
    run = example.end(running)
    assert run.status == 1
    assert "Traceback" not in run.err, run.err
