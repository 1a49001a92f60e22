"""ArtifactMethods: what a scope can make, each thing recorded before it exists.

prepare: choose its name  -->  record  -->  create it  -->  record what is known only now
"""

from __future__ import annotations

import os
from weakref import WeakKeyDictionary

from .._platform.files import temporary_directory
from ..errors import UsageError
from ..layout import SCOPE_VARIABLE
from . import tracking
from .kinds import makers
from .records.artifact import LIFETIMES, Artifact
from .records.liveness import is_helper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from subprocess import Popen
    from typing import Any

    from .kinds.paths import AnyPath
    from .kinds.shared_memory import Semaphore, SharedMemory
    from .membership.membership import Membership

    After = Artifact | object | Iterable[Artifact | object]
    Create = Callable[[str, Mapping[str, Any]], tuple[Any, Mapping[str, Any]]]

# What the user got for an artifact (a Popen, shared memory): which one it is.
_artifacts: WeakKeyDictionary[object, Artifact] = WeakKeyDictionary()


class ArtifactMethods:
    """The part of a scope that makes things."""

    path: str

    def _membership(self) -> Membership:
        raise NotImplementedError

    def directory(
        self, path: AnyPath | None = None, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Make a directory (mode 0700), to be removed with all that is in it.

        Args:
            path: where; `None` for a fresh one in the directory for temporary files.
            lifetime: `"scope"`: until the last member is out; `"member"`: until
                this one is.
            after: artifacts that are to be cleaned before it.

        Raises:
            ArtifactExists, ArtifactMissing, UsageError: it cannot be there.
            SystemRefused: it could not be recorded; it was not made.
        """
        prepared = makers.prepare_directory(path, temporary_directory())
        return self._make("directory", prepared, makers.create_directory, lifetime, after)[0]

    def file(
        self, path: AnyPath | None = None, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Make an empty file (mode 0600); otherwise as `directory`."""
        prepared = makers.prepare_file(path, temporary_directory())
        return self._make("file", prepared, makers.create_file, lifetime, after)[0]

    def socket(
        self, path: AnyPath | None = None, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Reserve the path of a Unix socket, for the caller to bind; otherwise as `directory`.

        A fresh one is short enough for it.  A path of your own that is not is refused.
        """
        prepared = makers.prepare_socket(path, temporary_directory())
        return self._make("socket", prepared, makers.create_socket, lifetime, after)[0]

    def shared_memory(
        self,
        size: int,
        name: str | None = None,
        *,
        lifetime: str = "scope",
        after: After = (),
    ) -> SharedMemory:
        """Make shared memory of `size` bytes; the resource tracker is not told of it.

        All of its memory is taken at once.

        Raises:
            ArtifactExists: there is one of that name.
            UsageError: there can be no such one.
            SystemRefused: there is not so much memory, or it could not be recorded; it was
                not made.
        """
        prepared = makers.prepare_shared_memory(size, name)
        create: Create = makers.create_shared_memory
        made: SharedMemory = self._make("shared_memory", prepared, create, lifetime, after)[1]
        return made

    def semaphore(
        self,
        value: int = 1,
        name: str | None = None,
        *,
        lifetime: str = "scope",
        after: After = (),
    ) -> Semaphore:
        """Make a named semaphore; otherwise as `shared_memory`."""
        prepared = makers.prepare_semaphore(value, name)
        made: Semaphore = self._make(
            "semaphore", prepared, makers.create_semaphore, lifetime, after
        )[1]
        return made

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

        It finds this scope in `LASTOUT_SCOPE`.

        Args:
            argv: the program and its arguments.
            lifetime: as for `directory`.
            after: as for `directory`.
            grace: seconds between SIGTERM and SIGKILL.
            member: whether the program, and whatever it starts, is a member of the scope
                for as long as it runs.
            tree: whether descendants that have left its process group (daemons) are ended
                too, also with another environment, a title written over it, or all
                descriptors closed.
            options: as for `subprocess.Popen`.

        Raises:
            UsageError: it could not be ended safely.
            OSError: it cannot be started.
            SystemRefused: it could not be recorded; it was not started.
        """
        env = options.get("env")
        options["env"] = {**(os.environ if env is None else env), SCOPE_VARIABLE: self.path}
        location, data = makers.prepare_popen(argv, options, grace=grace, tree=tree)
        # It goes before the directory that it runs in.
        data["cwd"] = os.path.realpath(os.fsdecode(options.get("cwd") or os.curdir))

        def create(location: str, data: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
            if not member:
                return makers.create_popen(location, data, argv, options)
            journal_lock = self._membership().journal.publish_for_another()
            try:
                passed = (*options.get("pass_fds", ()), journal_lock.fileno())
                options["pass_fds"] = passed
                process, more = makers.create_popen(location, data, argv, options)
                return process, {**more, "member": journal_lock.member}
            finally:
                journal_lock.close()  # the program has it

        started: Popen[Any] = self._make("popen", (location, data), create, lifetime, after)[1]
        return started

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
        """Run a program as the cleanup, in whichever process cleans.

        Args:
            argv: the program and its arguments, such as `["docker", "rm", "-f", name]`.
            lifetime: as for `directory`.
            after: as for `directory`.
            cwd: the directory that it runs in; the present one for `None`.
            env: variables on top of those of the process that cleans.
            timeout: seconds after which it is killed; 60 for `None`.

        Raises:
            UsageError, TypeError: it cannot be run.
            SystemRefused: it could not be recorded.
        """
        prepared = makers.prepare_command(argv, cwd=cwd, env=env, timeout=timeout)
        return self._make("command", prepared, None, lifetime, after)[0]

    def callback(self, func: Callable[..., object], /, *args: Any, **kwargs: Any) -> Artifact:
        """Call a function as the cleanup, in whichever process cleans.

        This very process calls it on the thread that cleans, for as long as it takes;
        where there is a time limit, as in `leave(timeout=2)`, on a thread that can be
        abandoned.  Another one calls it in a process of its own, for 60 s at most.

        Args:
            func: the function; one that cannot be imported is pickled, as it is now.
            args: what it is called with.
            kwargs: what it is called with.

        Raises:
            UsageError: it can neither be imported nor pickled.
            SystemRefused: it could not be recorded.
        """
        prepared = makers.prepare_callback(func, args, kwargs)

        def create(location: str, data: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
            return makers.create_callback(location, data, func, args, kwargs)

        return self._make("callback", prepared, create, "scope", ())[0]

    def track(
        self, kind: str, location: AnyPath, *, lifetime: str = "scope", after: After = ()
    ) -> Artifact:
        """Hand over something that exists already.

        Raises:
            ArtifactMissing: nothing is there.
            UsageError: it is not of that kind.
            SystemRefused: it could not be recorded.
        """
        prepared = tracking.prepare(kind, location)
        return self._make(kind, prepared, None, lifetime, after)[0]

    def artifact_of(self, made: object) -> Artifact:
        """The artifact behind a `Popen`, shared memory or semaphore that this process made here.

        Raises:
            UsageError: it was not made by a scope in this process.
        """
        try:
            return _artifacts[made]
        except (KeyError, TypeError):
            raise UsageError(f"{made!r} was not made by a scope in this process") from None

    def _make(
        self,
        kind: str,
        prepared: tuple[str, Mapping[str, Any]],
        create: Create | None,
        lifetime: str,
        after: After,
    ) -> tuple[Artifact, Any]:
        if lifetime not in LIFETIMES:
            self._membership()
            raise UsageError(f"lifetime must be one of {LIFETIMES}, not {lifetime!r}")
        while True:
            member = self._membership()
            with member.busy:
                if not is_helper(member.token):
                    return self._record_and_create(member, kind, prepared, create, lifetime, after)
                with member.journal.undisturbed() as there:
                    if there:
                        what = member, kind, prepared, create, lifetime, after
                        return self._record_and_create(*what)
            member.end()

    def _record_and_create(
        self,
        member: Membership,
        kind: str,
        prepared: tuple[str, Mapping[str, Any]],
        create: Create | None,
        lifetime: str,
        after: After,
    ) -> tuple[Artifact, Any]:
        location, data = prepared
        artifact = member.record(kind, location, lifetime, self._ids(after), data)
        if create is None:
            return artifact, None
        try:
            made, more = create(location, data)
        except Exception:
            # Makers leave nothing behind, and what is there may be another's.
            member.keep(artifact)
            raise
        if more:
            artifact = member.journal.add(artifact, more)
        if made is not None:
            _artifacts[made] = artifact
        return artifact, made

    def _ids(self, after: After) -> tuple[str, ...]:
        several = after if isinstance(after, (tuple, list, set, frozenset)) else (after,)
        found = []
        for one in several:
            artifact = one if isinstance(one, Artifact) else self.artifact_of(one)
            if artifact.scope != self.path:
                raise UsageError(f"{artifact!r} is in another scope, {artifact.scope!r}")
            found.append(artifact.id)
        return tuple(found)


# Journals of former versions name it so.
Making = ArtifactMethods
