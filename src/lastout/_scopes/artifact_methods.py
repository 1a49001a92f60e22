"""ArtifactMethods: the methods by which a scope makes artifacts, by the recipes of their kinds.

Tested by: tests/shared/test_scope.py
"""

from __future__ import annotations

import os

from .._platform.files import temporary_directory
from ..layout import SCOPE_VARIABLE
from . import tracking
from .artifact_recorder import ArtifactRecorder
from .kinds import directory, file, socket
from .kinds.base import Recipe
from .kinds.table import make_ready

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from subprocess import Popen
    from typing import Any

    from .artifact_recorder import After
    from .kinds.base import AnyPath, Data
    from .kinds.untracked import Semaphore, SharedMemory
    from .records.artifact import Artifact


class ArtifactMethods(ArtifactRecorder):
    """The part of a scope that makes artifacts."""

    def directory(
        self, path: AnyPath | None = None, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Make a directory (mode 0700), to be removed with everything inside.

        Args:
            path: its path; `None` for a fresh path in the directory for temporary files.
            lifetime: `"scope"`: until the last member is out; `"member"`: until this member is.
            after: artifacts that are to be cleaned before it.

        Raises:
            ArtifactExists, ArtifactMissing, UsageError: it cannot be made at this path.
            SystemRefused: it could not be recorded, and was not made.
        """
        recipe = directory.recipe(path, temporary_directory())
        return self._record("directory", recipe, lifetime, after)

    def file(
        self, path: AnyPath | None = None, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Make an empty file (mode 0600); otherwise as `directory`."""
        recipe = file.recipe(path, temporary_directory())
        return self._record("file", recipe, lifetime, after)

    def socket(
        self, path: AnyPath | None = None, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Reserve the path of a Unix socket, for the caller to bind; otherwise as `directory`.

        A fresh path is short enough for that.  A given path that is too long is refused.
        """
        recipe = socket.recipe(path, temporary_directory())
        return self._record("socket", recipe, lifetime, after)

    def shared_memory(
        self,
        size: int,
        name: str | None = None,
        *,
        lifetime: str = "scope",
        after: After = (),
    ) -> SharedMemory:
        """Make shared memory of `size` bytes, which is not registered with the resource tracker.

        All of its memory is allocated at once.

        Raises:
            ArtifactExists: the name is in use.
            UsageError: the size or the name is not possible.
            SystemRefused: there is not so much memory, or it could not be recorded; it was
                not made.
        """
        make_ready("shared_memory")
        from .kinds import shared_memory

        recipe = shared_memory.recipe(size, name)
        return self._made("shared_memory", recipe, lifetime, after)

    def semaphore(
        self,
        value: int = 1,
        name: str | None = None,
        *,
        lifetime: str = "scope",
        after: After = (),
    ) -> Semaphore:
        """Make a named semaphore; otherwise as `shared_memory`."""
        make_ready("semaphore")
        from .kinds import semaphore

        return self._made("semaphore", semaphore.recipe(value, name), lifetime, after)

    def popen(
        self,
        argv: Sequence[str],
        *,
        lifetime: str = "scope",
        after: After = (),
        grace: float = 5.0,
        member: bool = False,
        tree: bool = False,
        **options: Any,
    ) -> Popen[Any]:
        """Start a program in a process group of its own, which is ended as a whole.

        The program finds this scope by `LASTOUT_SCOPE`.

        Args:
            argv: the program and its arguments.
            lifetime: as for `directory`.
            after: as for `directory`.
            grace: seconds between SIGTERM and SIGKILL.
            member: whether the program is a member of the scope for as long as it, or a process
                that it started, runs.
            tree: whether descendants that have left its process group (daemons) are ended
                too, even if they changed their environment, wrote a title over it, or closed
                all descriptors.
            options: as for `subprocess.Popen`.

        Raises:
            UsageError: the program could not be ended safely.
            OSError: it cannot be started.
            SystemRefused: it could not be recorded, and was not started.
        """
        make_ready("popen")
        from .kinds import popen

        env = options.get("env")
        options["env"] = {**(os.environ if env is None else env), SCOPE_VARIABLE: self.path}
        recipe = popen.recipe(argv, options, grace=grace, tree=tree)
        # Recorded, so that the program is ended before the directory that it runs in is removed.
        cwd = os.path.realpath(os.fsdecode(options.get("cwd") or os.curdir))
        recipe.data = {**recipe.data, "cwd": cwd}
        if member:
            recipe = self._with_membership(recipe, options)
        return self._made("popen", recipe, lifetime, after)

    def _with_membership(
        self, recipe: Recipe[Popen[Any]], options: dict[str, Any]
    ) -> Recipe[Popen[Any]]:
        """The recipe for a program that is a member for as long as it runs."""
        start = recipe.create
        assert start is not None

        def create() -> tuple[Popen[Any], Data]:
            journal_lock = self._membership().journal.publish_for_another()
            try:
                options["pass_fds"] = (*options.get("pass_fds", ()), journal_lock.fileno())
                process, more = start()
                return process, {**more, "member": journal_lock.member}
            finally:
                journal_lock.close()  # the program has it

        return Recipe(recipe.location, recipe.data, create)

    def command(
        self,
        argv: Sequence[str],
        *,
        lifetime: str = "scope",
        after: After = (),
        cwd: AnyPath | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Artifact:
        """Run a program as the cleanup, started by the process that cleans.

        Args:
            argv: the program and its arguments, such as `["docker", "rm", "-f", name]`.
            lifetime: as for `directory`.
            after: as for `directory`.
            cwd: the directory that it runs in; the present directory for `None`.
            env: variables to add to the environment of the process that cleans.
            timeout: seconds after which it is killed; 60 for `None`.

        Raises:
            UsageError, TypeError: the program cannot be run.
            SystemRefused: it could not be recorded.
        """
        make_ready("command")
        from .kinds import command

        recipe = command.recipe(argv, cwd=cwd, env=env, timeout=timeout)
        return self._record("command", recipe, lifetime, after)

    def callback(self, func: Callable[..., object], /, *args: Any, **kwargs: Any) -> Artifact:
        """Call a function as the cleanup, on behalf of the process that cleans.

        If this process cleans, it calls the function on the thread that cleans, without a
        limit; under a time limit, as in `leave(timeout=2)`, on a thread that can be abandoned.
        If another process cleans, a child of it calls the function, for 60 s at most.

        Args:
            func: the function; it is pickled as it is now if it cannot be imported.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Raises:
            UsageError: the function can neither be imported nor pickled.
            SystemRefused: the call could not be recorded.
        """
        make_ready("callback")
        from .kinds import callback

        return self._record("callback", callback.recipe(func, args, kwargs), "scope", ())

    def track(
        self,
        kind: str,
        location: AnyPath,
        *,
        lifetime: str = "scope",
        after: After = (),
        **options: Any,
    ) -> Artifact:
        """Hand over a thing that exists already, or have a kind of another package make it.

        Args:
            kind: its kind: `"directory"`, `"file"`, `"socket"`, `"shared_memory"`,
                `"semaphore"`, `"url"`, `"message_queue"`, `"sysv"`, `"mount"`, `"container"`, or
                a kind that a package provides.
            location: its path or name.
            lifetime: as for `directory`.
            after: as for `directory`.
            options: arguments for a kind that a package provides.

        Raises:
            ArtifactMissing: the thing does not exist.
            UsageError: it is not of that kind, or there is no such kind.
            UnusableKind: the package that provides the kind cannot be used.
            SystemRefused: the thing could not be recorded.
        """
        return self._record(kind, tracking.adopt(kind, location, options), lifetime, after)


# The name of the class in journals of former versions.
Making = ArtifactMethods
