"""Functions as cleaners: called here if made here, in a process of their own if not."""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import sys
import threading
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import lastout
from lastout import errors
from lastout._scopes.kinds import base
from lastout._scopes.kinds import callback as callbacks
from lastout._scopes.kinds import command as commands
from lastout._scopes.kinds import table as cleaners
from support.artifacts import Made, make

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program


@pytest.fixture(autouse=True)
def nothing_live() -> Iterator[None]:
    """What was not cleaned is forgotten."""
    yield
    callbacks._live.clear()


def call(func: Callable[..., object], *args: Any, **kw: Any) -> Made:
    """A callback as an artifact."""
    return make("callback", func, args, kw)


def elsewhere(made: Made, seconds: float | None = 30.0) -> None:
    """Clean it as another process would."""
    callbacks._live.clear()
    made.clean(seconds)


def by_name(made: Made) -> bool:
    """Whether it was recorded by its name, not pickled."""
    return "pickle" not in made.data


def touch(path: str) -> None:
    """A function of this module, which no other process can import."""
    Path(path).touch()


def test_made_here_it_is_called_here() -> None:
    """The very function is called, on this thread where time is not short."""
    calls: list[object] = []

    def note(*args: object, **kwargs: object) -> None:
        calls.append((args, kwargs, threading.get_ident()))

    argument: list[object] = []
    made = call(note, argument, key=argument)
    argument.append("later")
    assert calls == []
    made.clean(None)
    assert calls == [((argument,), {"key": argument}, threading.get_ident())]
    assert callbacks._live == {}


LEAVING: dict[str, Callable[[lastout.Scope, lastout.Artifact], object]] = {
    "leave": lambda scope, _: scope.leave(),
    "the end of the block": lambda scope, _: scope.__exit__(None, None, None),
    "release": lambda _, artifact: artifact.release(),
}


@pytest.mark.parametrize("way", LEAVING)
def test_a_scope_calls_it_on_the_thread_that_leaves(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What only that thread may do works there, such as setting a signal; however long it takes."""
    monkeypatch.setattr(base, "LONGEST", 0.01)
    called: list[int] = []

    def handle_anew(handler: object) -> None:
        # Waits in vain: longer than anything else may take.
        threading.Event().wait(0.1)
        signal.signal(signal.SIGUSR1, handler)  # type: ignore[arg-type]
        called.append(threading.get_ident())

    with lastout.Scope("s") as scope:
        artifact = scope.callback(handle_anew, signal.getsignal(signal.SIGUSR1))
        LEAVING[way](scope, artifact)
        assert called == [threading.get_ident()]


@pytest.mark.leaks("threads", reason="the abandoned callback stays on its thread")
def test_a_scope_that_leaves_in_a_hurry_abandons_it() -> None:
    """With a time limit it may not take longer; it stays recorded, and goes with the next one."""
    go, threads = threading.Event(), []

    def call() -> None:
        threads.append(threading.get_ident())
        go.wait(30)

    scope = lastout.Scope("s")
    scope.callback(call)
    (outcome,) = scope.leave(timeout=0.05)
    assert isinstance(outcome.failure and outcome.failure.exception, errors.CleanupTimeout)
    go.set()
    # By this very process, which nobody gave a limit.
    assert lastout.reap(name="s").ok
    assert threads.pop() == threading.get_ident()
    assert threads.pop() != threading.get_ident()


def test_a_child_that_comes_out_of_it_ends_there(program: Callable[..., Program]) -> None:
    """What a callback forks does not go on cleaning beside its parent, however it ends."""
    child = program(
        """
        import os, sys
        import lastout
        from say import say

        def fork(end):
            child = os.fork()
            if child == 0:
                end()
                return
            say("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        with lastout.Scope() as scope:
            scope.callback(fork, lambda: sys.exit(3))
            scope.callback(fork, lambda: sys.exit("for a reason"))
            scope.callback(fork, lambda: sys.exit())
            scope.callback(fork, lambda: 1 / 0)
            scope.callback(fork, lambda: None)
        say("left", scope.report.ok)
        """
    )
    ended = child.end()
    assert (ended.status, ended.err) == (0, "")
    assert child.lines == ["ended 0", "ended 1", "ended 0", "ended 1", "ended 3", "left True"]


def test_after_the_dead_it_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs does not hold up for ever whoever cleans for a dead maker."""
    may_end = tmp_path / "may end"
    if os.fork() == 0:
        lastout.Scope("s").callback(lambda: may_end.exists() or threading.Event().wait(20))
        os._exit(1)
    os.wait()
    with monkeypatch.context() as soon:
        soon.setattr(commands, "TIME_LIMIT", 1.0)
        (outcome,) = lastout.reap(name="s")
    assert isinstance(outcome.failure and outcome.failure.exception, errors.CleanupTimeout)
    may_end.touch()
    assert lastout.reap(name="s").ok


def test_one_that_raises_is_an_error_with_its_cause() -> None:
    """The error names the callback and carries what it raised; it can be tried again."""
    fails = [True]

    def fail() -> None:
        if fails.pop():
            fails.append(False)
            raise ZeroDivisionError("on purpose")

    made = call(fail)
    with pytest.raises(errors.CleanupFailed, match="fail raised ZeroDivisionError") as caught:
        made.clean()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    made.clean()


@pytest.mark.parametrize(("status", "fails"), [(0, False), (None, False), (3, True), ("x", True)])
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_sys_exit_ends_nothing_but_the_callback(where: str, status: Any, fails: bool) -> None:
    """A callback that exits is over; with a status it failed."""
    made = call(sys.exit, status)
    clean = made.clean if where == "here" else functools.partial(elsewhere, made)
    if not fails:
        clean()
        return
    with pytest.raises(errors.CleanupFailed):
        clean()


@pytest.mark.leaks("threads", reason="the abandoned callback stays on its thread")
def test_one_that_hangs_here_is_abandoned() -> None:
    """With a limit of the cleaner's it is given up and reported."""
    go = threading.Event()
    with pytest.raises(errors.CleanupTimeout, match="abandoned"):
        call(lambda: go.wait(30)).clean(0.05)
    go.set()


def test_by_name_it_is_called_elsewhere(tmp_path: Path) -> None:
    """A function of a module is recorded by name, with its arguments as they are."""
    made = call(os.mkdir, str(tmp_path / "it"), mode=0o700)
    assert by_name(made)
    assert made.location == "posix:mkdir"
    elsewhere(made)
    assert (tmp_path / "it").is_dir()
    with pytest.raises(errors.CleanupFailed, match=r"(?s)status 1; it said: .*FileExistsError"):
        elsewhere(made)


def test_directory_and_path_are_those_of_its_maker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modules are found, and relative paths meant, as they were where it was made."""
    (tmp_path / "helper_of_mine.py").write_text("def touch(name): open(name, 'x').close()")
    with monkeypatch.context() as there:
        there.chdir(tmp_path)
        there.syspath_prepend("")
        import helper_of_mine  # type: ignore[import-not-found]

        made = call(helper_of_mine.touch, "it")
    del sys.modules["helper_of_mine"]
    assert by_name(made)
    elsewhere(made)
    assert (tmp_path / "it").exists()


def test_a_method_of_a_class_goes_by_name(tmp_path: Path) -> None:
    """Class methods and plain ones; a method of an object goes with its object."""
    assert by_name(call(Path.cwd))
    assert by_name(call(dict.fromkeys, []))
    assert by_name(call(json.JSONDecoder.decode, None, ""))
    assert not by_name(call(Path(tmp_path).exists))


@pytest.mark.parametrize(
    "value", [(1, 2), {1: 2}, b"x", {1}, float("nan"), float("inf"), [[("deep",)]], 1j]
)
def test_arguments_that_json_would_change_are_pickled(value: object, tmp_path: Path) -> None:
    """What JSON turns into something else arrives as it was."""
    path = tmp_path / "it"

    def write(path: str, value: object) -> None:
        with open(path, "w") as file:
            file.write(repr(value))

    made = call(write, str(path), value)
    assert not by_name(made)
    assert not by_name(call(os.listdir, value))
    elsewhere(made)
    assert path.read_text() == repr(value)


@pytest.mark.parametrize("value", [None, True, 1.5, 2**70, "ü\n\0\udcff", [[], {}], {"a": [{}]}])
def test_arguments_that_json_keeps_go_as_they_are(value: object) -> None:
    """Numbers of any size, odd text and nested values survive."""
    assert by_name(call(os.listdir, value))


def test_a_value_that_contains_itself_is_pickled() -> None:
    """JSON cannot write it; dill can."""
    value: list[object] = []
    value.append(value)
    assert not by_name(call(os.listdir, value))


def test_closures_lambdas_and_objects_are_pickled(tmp_path: Path) -> None:
    """With what they use of their module, in the state they had."""
    one, two, three = (str(tmp_path / name) for name in ("one", "two", "three"))
    for made in (
        call(lambda: touch(one)),
        call(functools.partial(touch, two)),
        call(Path(three).touch),
    ):
        assert not by_name(made)
        elsewhere(made)
    assert sorted(os.listdir(tmp_path)) == ["one", "three", "two"]


def test_a_module_made_at_run_time_is_pickled(tmp_path: Path) -> None:
    """Nobody else can import it, so its functions and classes go by value."""
    module = types.ModuleType("made_at_run_time")
    code = """
class Toucher:
    def touch(self, path):
        open(path, "x").close()
        return type(self)

def touch(path):
    assert Toucher().touch(path) is Toucher
"""
    exec(code, module.__dict__)
    sys.modules["made_at_run_time"] = module
    try:
        made = call(module.touch, str(tmp_path / "it"))
        assert module.touch.__module__ == module.Toucher.__module__ == "made_at_run_time"
    finally:
        del sys.modules["made_at_run_time"]
    elsewhere(made)
    assert (tmp_path / "it").exists()


@pytest.mark.parametrize("where", ["a generator", "a socket", "a frame"])
def test_what_cannot_be_pickled_is_refused_at_once(where: str) -> None:
    """It is the caller's act, and it is said before anything is recorded."""
    with socket.socket() as connection:
        value = {
            "a generator": (number for number in ()),
            "a socket": connection,
            "a frame": sys._getframe(),
        }[where]
        with pytest.raises(errors.UsageError, match=r"neither be imported .* nor pickled"):
            callbacks.recipe(print, (value,))
    with pytest.raises(TypeError, match="must be callable"):
        callbacks.recipe("print")  # type: ignore[arg-type]


def test_one_that_hangs_elsewhere_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is over its process goes."""
    with pytest.raises(errors.CleanupTimeout, match="killed"):
        elsewhere(call(threading.Event().wait), 0.3)
    monkeypatch.setattr(commands, "TIME_LIMIT", 0.3)
    with pytest.raises(errors.CleanupTimeout, match="killed"):
        elsewhere(call(threading.Event().wait), None)


def test_one_that_is_killed_elsewhere_is_an_error() -> None:
    """Its process is not ours: we live on and tell."""
    with pytest.raises(errors.CleanupFailed, match="killed by SIGKILL"):
        elsewhere(call(lambda: os.kill(os.getpid(), 9)))


def test_a_function_that_is_gone_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its module has changed since, the error says so."""
    module = tmp_path / "changes_soon.py"
    module.write_text("def gone(): pass")
    monkeypatch.syspath_prepend(tmp_path)
    import changes_soon  # type: ignore[import-not-found]

    made = call(changes_soon.gone)
    del sys.modules["changes_soon"]
    module.write_text("here = 'it is not'\n" * 100)
    with pytest.raises(errors.CleanupFailed, match=r"(?s)AttributeError.*gone"):
        elsewhere(made)


def test_a_forked_child_is_another_process(tmp_path: Path, program: Callable[..., Program]) -> None:
    """What was made before a fork is called in a process of its own when the child cleans."""
    child = program(
        """
        import os
        import notes
        from lastout.deadline import Deadline
        from lastout._scopes.kinds import callback, table as cleaners

        recipe = callback.recipe(notes.note)
        location, data, create = recipe.location, recipe.data, recipe.create
        create()
        notes.made_here = True
        if os.fork() == 0:
            cleaners.clean("callback", location, data, Deadline(20))
            os._exit(0)
        os.wait()
        cleaners.clean("callback", location, data, Deadline(20))
        """,
        modules={
            "notes": """
            from say import say

            made_here = False

            def note():
                say("the function itself" if made_here else "from its record")
            """
        },
    )
    ended = child.end()
    assert ended.status == 0, ended.err
    assert child.lines == ["from its record", "the function itself"]


MAIN = """
    import json, math, os, sys
    from say import say

    SCALE = 2

    class Sum:
        def __init__(self, *numbers):
            self.numbers = numbers

        def total(self):
            return scaled(math.fsum(self.numbers))

    def scaled(number):
        return number * SCALE if number < 100 else scaled(number / 2)

    def clean_up(numbers):
        assert isinstance(Sum(), Sum)
        say("total", Sum(*numbers).total(), scaled(1000))

    def record():
        from lastout._scopes.kinds import callback
        for func in (clean_up, lambda numbers: clean_up(numbers), Sum(*(1, 2, 3)).total):
            args = () if func.__name__ == "total" else ((1, 2, 3),)
            recorded = callback.recipe(func, args)
            location, data = recorded.location, recorded.data
            assert "pickle" in data
            say(json.dumps([location, data]))
        assert clean_up.__module__ == __name__

    if __name__ == "__main__":
"""
WAYS = {
    "the main script": "    record()\n",
    "a spawned child": """
        import {package} as multiprocessing
        child = multiprocessing.get_context("spawn").Process(target=record)
        child.start()
        child.join()
        sys.exit(child.exitcode)
""",
}


@pytest.mark.parametrize("package", ["multiprocessing", "multiprocess"])
@pytest.mark.parametrize("way", WAYS)
def test_functions_of_the_main_script_are_called_after_its_end(
    way: str, package: str, program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the helpers, classes, constants and modules that they use, without the script."""
    script = MAIN + "    " + WAYS[way].format(package=package)
    child = program(script)
    ended = child.end()
    assert ended.status == 0, ended.err
    os.unlink(child.directory / "program.py")
    records = [json.loads(line) for line in child.lines]
    assert len(records) == 3
    monkeypatch.setenv("SAY_TO", str(child.directory / "said"))
    for location, data in records:
        Made("callback", location, data).clean()
    said = [line for line in child.lines if line.startswith("total")]
    assert said == ["total 12.0 125.0"] * 2


@pytest.mark.parametrize("kind", ["command", "callback of another"])
def test_it_works_while_the_interpreter_ends(kind: str, program: Callable[..., Program]) -> None:
    """Cleaning happens at exit: also there a process can be started and waited for."""
    child = program(
        f"""
        import atexit, os, sys
        from lastout.deadline import Deadline
        from lastout._scopes.kinds import callback, command, table as cleaners
        from say import say

        if {kind!r} == "command":
            argv = [sys.executable, "-c", "from say import say; say('cleaned')"]
            kind, recorded = "command", command.recipe(argv)
        else:
            kind, recorded = "callback", callback.recipe(say, ("cleaned",))

        @atexit.register
        def clean():
            cleaners.clean(kind, recorded.location, recorded.data, Deadline(30))
            say("end")
        """
    )
    ended = child.end()
    assert (ended.status, ended.err) == (0, "")
    assert child.lines == ["cleaned", "end"]


def test_forgotten_calls_are_not_held() -> None:
    """What is kept or released elsewhere keeps no function alive here."""
    made = call(lambda: None)
    cleaners.forget("callback", made.location, made.data)
    cleaners.forget("directory", "/nowhere", {})
    assert callbacks._live == {}


def test_where_there_is_no_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded in a directory that was removed, a callback runs in the root of all."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert callbacks._here() == "/"
