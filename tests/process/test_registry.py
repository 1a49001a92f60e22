"""Registry: `import lastout as atexit`, and what it offers beyond atexit.

Each test runs a program of its own, because the registry is the process's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support import Program

Start = Callable[..., Program]


def lines(program: Start, text: str, status: int = 0, **options: object) -> list[str]:
    """What a program says, after it ended by itself with the given status."""
    child = program(text, **options)
    ended = child.end()
    assert ended.status == status, ended.err
    return child.lines


# --- as atexit


def test_nothing_is_hooked_at_import(program: Start) -> None:
    """Importing lastout registers nothing with the interpreter and starts nothing."""
    assert lines(
        program,
        """
        import atexit, os, sys, threading
        hooks = []
        os.register_at_fork = lambda **hook: hooks.append(hook)
        import lastout
        from say import say
        say(atexit._ncallbacks(), len(hooks), threading.active_count(), lastout._ncallbacks())
        """,
        isolated=True,
    ) == ["0 0 1 0"]


def test_runs_at_exit_in_order(program: Start) -> None:
    """At the end of the program the handlers run, last in first out, with their arguments."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        lastout.register(say, "first", "one")
        lastout.register(lambda **words: say(words), key="value")
        lastout.register(say, "last")
        """,
    ) == ["last", "{'key': 'value'}", "first one"]


@pytest.mark.parametrize(
    ("ending", "status"),
    [("pass", 0), ("sys.exit(3)", 3), ("raise ValueError", 1), ("sys.exit('words')", 1)],
)
def test_every_normal_end(program: Start, ending: str, status: int) -> None:
    """Handlers run once on return, on sys.exit and on an uncaught exception; the status stays."""
    text = f"""
        import sys, lastout
        from say import say
        lastout.register(say, "bye")
        {ending}
    """
    assert lines(program, text, status) == ["bye"]


def test_handlers_run_once_on_keyboard_interrupt(program: Start) -> None:
    """Handlers run once on KeyboardInterrupt."""
    child = program("""
        import lastout, time
        from say import say
        lastout.register(say, "bye")
        say("ready")
        time.sleep(60)
    """)
    child.wait_for("ready")
    child.interrupt()
    ended = child.end()
    assert "KeyboardInterrupt" in ended.err
    assert child.lines == ["ready", "bye"]


def test_shares_the_end_with_atexit(program: Start) -> None:
    """Handlers of the standard library's atexit still run, once, beside lastout's."""
    said = lines(
        program,
        """
        import atexit, lastout
        from say import say
        atexit.register(say, "atexit before")
        lastout.register(say, "lastout")
        atexit.register(say, "atexit after")
        """,
    )
    assert sorted(said) == ["atexit after", "atexit before", "lastout"]
    assert said[0] == "atexit after"


def test_register_is_a_decorator(program: Start) -> None:
    """`register` returns the very callable it was given."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        @lastout.register
        def bye():
            say("bye")
        say(lastout.register(bye) is bye, callable(bye))
        """,
    ) == ["True True", "bye", "bye"]


def test_keywords_are_the_handlers(program: Start) -> None:
    """No keyword is taken by `register` itself: func, self, timeout and args reach the handler."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        lastout.register(lambda **words: say(sorted(words)), func=1, self=2, timeout=3, args=4)
        """,
    ) == ["['args', 'func', 'self', 'timeout']"]


# `handler(None)` is not among them: it is `handler()`, a decorator.
@pytest.mark.parametrize("what", ["3", "'print'", "object()", "[]"])
@pytest.mark.parametrize(
    "how", ["register({})", "handler({})", "handler()({})", "handler(timeout=1)({})"]
)
def test_not_callable(program: Start, how: str, what: str) -> None:
    """Registering something that cannot be called is a TypeError, and registers nothing."""
    text = f"""
        import lastout
        from say import say
        try:
            lastout.{how.format(what)}
        except TypeError as error:
            say("callable" in str(error), lastout._ncallbacks())
    """
    assert lines(program, text) == ["True 0"]


def test_register_needs_something() -> None:
    """`register()` and a keyword `func` are TypeErrors, as in atexit."""
    import lastout

    before = lastout._ncallbacks()
    with pytest.raises(TypeError):
        lastout.register()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        lastout.register(func=print)  # type: ignore[call-arg]
    assert lastout._ncallbacks() == before


def test_unregister_is_silent_about_what_is_absent() -> None:
    """Unregistering anything that is not there changes nothing and returns None."""
    import lastout

    before = lastout._ncallbacks()
    for absent in (print, lambda: None, None, [], 3):
        assert lastout.unregister(absent) is None  # type: ignore[func-returns-value,arg-type]
    assert lastout._ncallbacks() == before


def test_counts_and_clears(program: Start) -> None:
    """_ncallbacks counts, _clear forgets, _run_exitfuncs runs and forgets."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        lastout.register(say, "cleared"), lastout.register(say, "cleared")
        say(lastout._ncallbacks(), lastout._clear(), lastout._ncallbacks())
        lastout.register(say, "run")
        say(lastout._run_exitfuncs(), lastout._ncallbacks())
        """,
    ) == ["2 None 0", "run", "None 0"]


@pytest.mark.parametrize("error", ["ValueError('x')", "SystemExit(3)", "KeyboardInterrupt()"])
def test_a_failure_at_exit_looks_as_in_cpython(program: Start, error: str) -> None:
    """At exit a failing handler is shown as atexit shows it; the status and the rest stay."""

    def ended(module: str) -> tuple[list[str], str]:
        child = program(f"""
            import {module} as atexit
            from say import say
            class Fails:
                def __call__(self):
                    raise {error}
                def __repr__(self):
                    return "<fails>"
            atexit.register(say, "below")
            atexit.register(Fails())
        """)
        end = child.end()
        assert end.status == 0
        lines = [line for line in end.err.splitlines() if "lastout" not in line]
        return child.lines, "\n".join(lines)

    said, shown = ended("lastout")
    assert said == ["below"]
    known = ended("atexit")[1]
    name = error.split("(")[0]
    assert shown.splitlines()[0] == known.splitlines()[0]
    assert shown.splitlines()[-1] == known.splitlines()[-1]
    assert name in shown


def test_unraisable_hook_gets_the_handler(program: Start) -> None:
    """A program's own sys.unraisablehook gets each failure, and one that fails stops nothing."""
    assert lines(
        program,
        """
        import sys, lastout
        from say import say
        def hook(unraisable):
            named = repr(unraisable.object) + unraisable.err_msg
            say(unraisable.exc_type.__name__, "fails" in named)
            raise RuntimeError("the hook fails")
        sys.unraisablehook = hook
        def fails():
            1 / 0
        lastout.register(say, "below")
        lastout.register(fails)
        """,
    ) == ["below", "ZeroDivisionError True"]


# --- options


def test_handler_bare_and_with_options(program: Start) -> None:
    """`handler` decorates bare and with options, returns the function, and passes the arguments."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        @lastout.handler
        def bare():
            say("bare")
        @lastout.handler(timeout=30, inherit=True, args=("a", 1), kwargs={"b": 2})
        def full(*args, **kwargs):
            say(args, kwargs)
        say(bare.__name__, full.__name__)
        """,
    ) == ["bare full", "('a', 1) {'b': 2}", "bare"]


def test_handler_takes_its_arguments_when_made(program: Start) -> None:
    """Changing the list or the dictionary afterwards changes nothing."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        args, kwargs = ["a"], {"sep": 1}
        lastout.handler(args=args, kwargs=kwargs)(lambda *args, **kwargs: say(args, kwargs))
        args.append("b"), kwargs.update(end=2)
        """,
    ) == ["('a',) {'sep': 1}"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("timeout=-1", "UsageError"),
        ("timeout=float('nan')", "UsageError"),
        ("timeout='1'", "TypeError"),
        ("timeout=True", "TypeError"),
        ("args='bye'", "TypeError"),
        ("args=3", "TypeError"),
        ("kwargs={1: 2}", "TypeError"),
        ("kwargs=3", "TypeError"),
        ("daemon=True", "TypeError"),
    ],
)
def test_bad_options(program: Start, options: str, error: str) -> None:
    """Options that cannot be are refused before anything is registered."""
    text = f"""
        import lastout
        from say import say
        try:
            @lastout.handler({options})
            def bye(): ...
        except Exception as error:
            say(type(error).__name__, lastout._ncallbacks())
    """
    assert lines(program, text) == [f"{error} 0"]


def test_nothing_is_inherited_unasked(program: Start) -> None:
    """A handler is inherited where it was asked to be, and only there."""
    assert lines(
        program,
        """
        import lastout
        from lastout._exits import registry
        from say import say
        lastout.handler(print)
        lastout.handler(timeout=5)(print)
        say(registry.is_inheriting(), registry.inheritable())
        lastout.handler(inherit=True)(str)
        say(registry.is_inheriting(), [one.func for one in registry.inheritable()])
        lastout._clear()
        """,
    ) == ["False []", "True [<class 'str'>]"]


def test_who_wants_to_know_is_told_what_is_inherited(program: Start) -> None:
    """Whoever carries handlers to children is told of each inheritable one, and of no other."""
    assert lines(
        program,
        """
        import lastout
        from lastout._exits import on_inheritable
        from say import say
        on_inheritable.append(lambda: say("told"))
        lastout.register(print), lastout.handler(print)
        say("registered")
        lastout.handler(inherit=True)(print)
        """,
    ) == ["registered", "told"]


def test_what_comes_after_the_end(program: Start) -> None:
    """Who asked for it is called when the process ends, after its handlers and never before."""
    said = lines(
        program,
        """
        import lastout
        from lastout._exits import after_end
        from say import say
        after_end.append(lambda: say("after"))
        lastout.register(say, "handler")
        lastout.unwind()
        lastout.register(say, "last handler")
        """,
    )
    assert said[:2] == ["handler", "last handler"]
    assert set(said[2:]) == {"after"}


def test_nothing_comes_out_of_the_end(program: Start) -> None:
    """What fails after the handlers is shown, and not even a SystemExit reaches the caller."""
    assert lines(
        program,
        """
        import sys
        from lastout._exits import after_end, registry
        from say import say
        sys.unraisablehook = lambda shown: say(repr(shown.exc_value))
        after_end.append(lambda: sys.exit(3))
        registry.end()
        say("goes on")
        """,
    ) == ["SystemExit(3)", "goes on"]


def test_threads_are_reserved_for_limits(program: Start) -> None:
    """Before a handler with a limit is registered, as many calls as then have one are provided."""
    assert lines(
        program,
        """
        import lastout
        from lastout._exits import runner
        from say import say
        runner.reserve = say
        lastout.register(print), lastout.handler(print)
        for _ in range(3):
            lastout.handler(timeout=5)(print)
        """,
    ) == ["1", "2", "3"]


def test_an_endless_timeout(program: Start) -> None:
    """None and infinity both mean no limit."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        for limit in (None, float("inf")):
            lastout.handler(timeout=limit, args=(limit,))(say)
        """,
    ) == ["inf", "None"]


@pytest.mark.parametrize("number", [1, 3])
def test_a_handler_that_hangs_at_exit(program: Start, number: int) -> None:
    """At exit handlers that overrun are abandoned and named, the rest run, the process ends."""
    child = program(
        """
        import sys, threading, lastout
        from say import say
        lastout.register(say, "below")
        for _ in range(int(sys.argv[1])):
            @lastout.handler(timeout=0.1)
            def hangs():
                threading.Event().wait()
        lastout.register(say, "above")
        """,
        args=[str(number)],
    )
    ended = child.end(30)
    assert ended.status == 0
    assert child.lines == ["above", "below"]
    assert ended.err.count("HandlerTimeout") == number
    assert "hangs" in ended.err


def test_one_with_a_limit_runs_at_exit(program: Start) -> None:
    """At exit one with a limit runs as any other, even where no thread can be started."""
    child = program("""
        import lastout
        from say import say
        lastout.register(say, "below")
        lastout.handler(timeout=30, args=("limited",))(say)
    """)
    assert child.end().err == ""
    assert child.lines == ["limited", "below"]


# --- unwinding now


def test_unwind_reports(program: Start) -> None:
    """`unwind` runs everything now and reports each; at exit nothing is left to run."""
    assert lines(
        program,
        """
        import sys, lastout
        from say import say
        sys.unraisablehook = lambda unraisable: say("shown", unraisable.exc_type.__name__)
        def fails():
            sys.exit(3)
        lastout.register(say, "ran")
        lastout.register(fails)
        report = lastout.unwind()
        say([(o.name, o.status) for o in report], report.ok, len(report.failed), len(report.done))
        say(len(lastout.unwind()))
        """,
    ) == [
        "ran",
        "shown SystemExit",
        "[('__main__.fails', 'failed'), ('say.say', 'done')] False 1 1",
        "0",
    ]


def test_unwind_in_time(program: Start) -> None:
    """`unwind(timeout)` abandons what hangs early enough for those behind it."""
    assert lines(
        program,
        """
        import sys, threading, time, lastout
        from say import say
        sys.unraisablehook = lambda unraisable: None
        lastout.register(say, "below")
        lastout.register(threading.Event().wait)
        started = time.monotonic()
        report = lastout.unwind(timeout=0.4)
        say([o.status for o in report], time.monotonic() - started < 20)
        """,
    ) == ["below", "['timed out', 'done'] True"]


@pytest.mark.parametrize(
    ("timeout", "error"), [("-1", ValueError), ("nan", ValueError), ("'x'", TypeError)]
)
def test_unwind_with_a_bad_timeout(program: Start, timeout: str, error: type[Exception]) -> None:
    """Seconds that cannot be waited for are refused before anything runs."""
    text = f"""
        import lastout
        from math import nan
        from say import say
        lastout.register(say, "at exit")
        try:
            lastout.unwind(timeout={timeout})
        except {error.__name__}:
            say("refused")
    """
    assert lines(program, text) == ["refused", "at exit"]


def test_register_after_unwind(program: Start) -> None:
    """After an unwinding the registry is as good as new."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        lastout.unwind()
        lastout.register(say, "again")
        """,
    ) == ["again"]


# --- the documented contract of atexit


def test_run_exit_handlers_keeps_the_documented_contract(program: Start) -> None:
    """All run, each traceback but SystemExit's is printed, then the last exception is raised."""
    child = program("""
        import sys, lastout
        from say import say
        def fails(error):
            raise error
        lastout.register(say, "below")
        lastout.register(fails, KeyError("last"))
        lastout.register(fails, SystemExit("not printed"))
        lastout.register(fails, ValueError("first"))
        try:
            lastout.run_exit_handlers()
        except BaseException as error:
            say(repr(error))
        say(lastout._ncallbacks())
    """)
    ended = child.end()
    assert child.lines == ["below", "KeyError('last')", "0"]
    assert ended.err.count("Traceback") == 2
    assert "ValueError: first" in ended.err
    assert "SystemExit" not in ended.err


def test_run_exit_handlers_raises_system_exit(program: Start) -> None:
    """A SystemExit that was the last to be raised ends the program with its status."""
    text = """
        import sys, lastout
        lastout.register(sys.exit, 7)
        lastout.run_exit_handlers()
    """
    assert lines(program, text, status=7) == []


def test_run_exit_handlers_with_nothing_wrong(program: Start) -> None:
    """Where nothing fails nothing is raised or printed."""
    child = program("""
        import lastout
        from say import say
        lastout.register(say, "ran")
        lastout.run_exit_handlers()
    """)
    assert (child.end().err, child.lines) == ("", ["ran"])


NO_DESCRIPTORS = """
    import resource, lastout
    from say import say
    def fails():
        raise ValueError("first")
    def within(limit, call):
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
        try:
            return call()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
    ran = []
    lastout.register(ran.append, "below")
    lastout.register(fails)
"""


def test_a_failure_is_reported_without_descriptors(program: Start) -> None:
    """With no descriptor to be had, a failure still stands in the report, and the rest runs."""
    child = program(
        NO_DESCRIPTORS
        + """
    report = within(0, lastout.unwind)
    say(ran, [outcome.status for outcome in report], report.ok)
    say("ValueError" in report.failed[0].failure.traceback)
    """,
        isolated=True,
    )
    ended = child.end()
    assert child.lines == ["['below'] ['failed', 'done'] False", "True"], ended.err
    assert "ValueError: first" in ended.err


def test_run_exit_handlers_without_descriptors(program: Start) -> None:
    """With no descriptor to be had, all run, each failure is printed, and the last one raised."""
    child = program(
        NO_DESCRIPTORS
        + """
    try:
        within(0, lastout.run_exit_handlers)
    except ValueError as error:
        say(ran, error)
    """,
        isolated=True,
    )
    ended = child.end()
    assert child.lines == ["['below'] first"], ended.err
    assert ended.err.count("ValueError: first") == 1


def test_a_stranger_that_cannot_be_compared_stops_no_registration(program: Start) -> None:
    """What others have registered with `atexit` itself is none of our registration's business."""
    text = """
        import atexit, lastout
        from say import say
        class Odd:
            def __call__(self): ...
            def __eq__(self, other): raise RuntimeError("not to be compared")
        atexit.register(Odd())
        lastout.register(say, "ran")
    """
    assert lines(program, text) == ["ran"]


# --- handlers that do odd things


def test_registered_while_exiting_runs(program: Start) -> None:
    """What a handler registers at exit is run too, to any depth."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        def deeper(depth):
            say(depth)
            if depth:
                lastout.register(deeper, depth - 1)
        lastout.register(say, "below")
        lastout.register(deeper, 3)
        """,
    ) == ["3", "2", "1", "0", "below"]


def test_a_handler_forks(program: Start) -> None:
    """A handler that forks: the child has none of the parent's handlers, the parent goes on."""
    assert lines(
        program,
        """
        import os, sys, lastout
        from say import say
        main = os.getpid()
        def who():
            return "parent" if os.getpid() == main else "child"
        def forks():
            try:
                pid = os.fork()
            except RuntimeError as error:  # 3.12 refuses it this late
                assert sys.version_info[:2] == (3, 12), error
                say("child", 0), say("waited")
                return
            if not pid:
                say("child", lastout._ncallbacks())
                os._exit(0)
            os.waitpid(pid, 0)
            say("waited")
        lastout.register(lambda: say("below", who()))
        lastout.register(forks)
        """,
    ) == ["child 0", "waited", "below parent"]


def test_a_handler_forks_in_an_unwinding(program: Start) -> None:
    """A child forked by a handler that then ends normally runs its own handlers and no others."""
    assert lines(
        program,
        """
        import os, sys, lastout
        from say import say
        main = os.getpid()
        def who():
            return "parent" if os.getpid() == main else "child"
        def forks():
            pid = os.fork()
            if not pid:
                lastout.register(lambda: say("own", who()))
                sys.exit(0)
            os.waitpid(pid, 0)
        lastout.register(lambda: say("below", who()))
        lastout.register(forks)
        report = lastout.unwind()
        say("unwound", who(), len(report))
        """,
    )[-2:] == ["below parent", "unwound parent 2"]


def test_a_handler_starts_a_thread(program: Start) -> None:
    """At exit a handler may start a thread where this Python lets it; where not, it is shown."""
    child = program("""
        import sys, threading, lastout
        from say import say
        def starts():
            thread = threading.Thread(target=say, args=("thread",))
            thread.start()
            thread.join()
        lastout.register(say, "below")
        lastout.register(starts)
    """)
    ended = child.end()
    assert ended.status == 0
    assert child.lines[-1] == "below"
    assert ("thread" in child.lines) or "can't create new thread" in ended.err


def test_a_daemon_thread_registers_during_shutdown(program: Start) -> None:
    """What a daemon thread registers while handlers run is run, and later ones harm nothing."""
    child = program("""
        import threading, lastout
        from say import say
        exiting, registered = threading.Event(), threading.Event()
        def daemon():
            exiting.wait()
            lastout.register(say, "from daemon")
            registered.set()
            while True:
                lastout.register(int)
                lastout.unregister(int)
        def lets_it():
            exiting.set()
            registered.wait()
        lastout.register(say, "below")
        lastout.register(lets_it)
        threading.Thread(target=daemon, daemon=True).start()
    """)
    ended = child.end(30)
    assert (ended.status, ended.err) == (0, "")
    assert child.lines == ["from daemon", "below"]


@pytest.mark.unmeasured(reason="it waits for that thread")
def test_a_daemon_thread_that_never_stops_registering(program: Start) -> None:
    """A thread that registers for ever cannot hold up the end of the process for ever."""
    child = program("""
        import threading, lastout
        from say import say
        def daemon():
            while True:
                lastout.register(int)
        lastout.register(say, "below")
        threading.Thread(target=daemon, daemon=True).start()
    """)
    assert child.end(60).status == 0
    assert child.lines == ["below"]


def test_a_handler_that_never_stops_registering(program: Start) -> None:
    """A handler that registers itself for ever ends too, and the older ones get their turn."""
    child = program("""
        import lastout
        from say import say
        def again():
            lastout.register(again)
        lastout.register(say, "below")
        lastout.register(again)
    """)
    assert child.end(60).status == 0
    assert child.lines == ["below"]


def test_handlers_run_once_when_unwound_by_a_thread_at_exit(program: Start) -> None:
    """A thread that unwinds while the main thread ends: each handler runs once, before the end."""
    said = lines(
        program,
        """
        import threading, lastout
        from say import say
        for number in range(50):
            lastout.register(say, number)
        threading.Thread(target=lastout.unwind, daemon=True).start()
        """,
    )
    assert said == [str(number) for number in range(49, -1, -1)]


def test_a_program_that_unregisters_in_a_handler(program: Start) -> None:
    """At exit a handler may unregister others and itself."""
    assert lines(
        program,
        """
        import lastout
        from say import say
        def gone():
            say("gone")
        def removes():
            say("removes")
            lastout.unregister(gone)
            lastout.unregister(removes)
        lastout.register(removes)
        lastout.register(gone)
        lastout.register(removes)
        """,
    ) == ["removes"]
