"""Lazy imports (PEP 810, Python 3.15): nothing rests on an import for what it does.

All imports of the programs here are lazy, set in each way that there is.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import lastout
from support.scripts import each_method

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support import Program

    Start = Callable[..., Program]

SOURCES = sorted(Path(lastout.__path__[0]).rglob("*.py"))

lazy = pytest.mark.skipif(sys.version_info < (3, 15), reason="PEP 810 came with Python 3.15")

# How all imports of a program are made lazy: its options.
WAYS: dict[str, dict[str, object]] = {
    "-X lazy_imports=all": {"lazily": True},
    "PYTHON_LAZY_IMPORTS": {"env": {"PYTHON_LAZY_IMPORTS": "all"}},
    "sys.set_lazy_imports": {},
}
BY_CALL = "import sys\nsys.set_lazy_imports('all')\n"
each_way = pytest.mark.parametrize("way", WAYS)

# Whoever imports something of lastout's, or of what that takes, after this says so and fails.
NO_MORE = """
    class Refusing:
        def find_spec(self, name, *_):
            if name.partition(".")[0] in ("lastout", "filelock"):
                say("loaded too late:", name)
                raise ImportError(name)

    def no_more():
        sys.meta_path.insert(0, Refusing())
"""


def start_in(program: Start, way: str, text: str, **options: object) -> Program:
    """Start a program all of whose imports are lazy, in that way."""
    from textwrap import dedent

    first = BY_CALL if way == "sys.set_lazy_imports" else ""
    return program(first + dedent(text), **WAYS[way], **options)


def imported(source: Path) -> Iterator[str]:
    """The names that a module imports at its top, and does not hand on to others."""
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                continue
            for name in node.names:
                if name.asname is None or name.asname != name.name:
                    yield (name.asname or name.name).partition(".")[0]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_imported_for_what_that_does(source: Path) -> None:
    """Each name that a module of lastout imports at its top is used there."""
    tree = ast.parse(source.read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    public = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert set(imported(source)) - used - public == set()


@lazy
@each_way
@each_method
def test_children_run_their_handlers(program: Start, way: str, method: str) -> None:
    """Each child runs its own handlers and those that it inherited, last in first out."""
    child = start_in(
        program,
        way,
        """
        import multiprocessing
        import sys
        import lastout
        from say import say

        def work():
            lastout.register(say, "first")
            lastout.register(say, "second")

        if __name__ == "__main__":
            lastout.register(say, "of the parent")
            lastout.handler(inherit=True, args=("inherited",))(say)
            child = multiprocessing.get_context(sys.argv[1]).Process(target=work)
            child.start()
            child.join()
            say("status", child.exitcode)
        """,
        args=[method],
    )
    end = child.end()
    of_child = ["second", "first", "inherited", "status 0"]
    assert (end.status, end.err) == (0, "")
    assert child.lines == [*of_child, "inherited", "of the parent"]


@lazy
@each_way
def test_forked_child_runs_its_handlers(program: Start, way: str) -> None:
    """A child of `os.fork` runs its own handlers, and none of its parent's."""
    child = start_in(
        program,
        way,
        """
        import os
        import lastout
        from say import say

        lastout.register(say, "parent")
        if os.fork():
            os.wait()
        else:
            lastout.register(say, "child")
        """,
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (0, "", ["child", "parent"])


@lazy
@pytest.mark.parametrize("kind", ["isolated", "legacy"])
def test_subinterpreter_runs_its_handlers(program: Start, kind: str) -> None:
    """A subinterpreter's handlers run when it ends, though all its imports are lazy."""
    child = program(
        """
        import sys
        import _interpreters

        interpreter = _interpreters.create(sys.argv[1])
        failure = _interpreters.run_string(interpreter, f'''if True:
            import sys
            sys.path[:] = {sys.path!r}
            sys.set_lazy_imports("all")
            import lastout
            from say import say
            lastout.register(say, "first")
            lastout.register(say, "second")
        ''')
        assert failure is None, failure.formatted
        _interpreters.destroy(interpreter)
        """,
        args=[kind],
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (0, "", ["second", "first"])


@lazy
def test_nothing_is_loaded_at_the_end(program: Start) -> None:
    """Handlers run and fail though nothing of lastout's can be loaded any more."""
    child = program(
        NO_MORE
        + """
    import sys
    import lastout
    from say import say

    lastout.register(say, "ran")
    lastout.register(divmod, 1, 0)
    no_more()
    """,
        lazily=True,
    )
    end = child.end()
    assert child.lines == ["ran"]
    assert "ZeroDivisionError" in end.err


@lazy
def test_no_option_is_loaded_at_the_end(program: Start) -> None:
    """Handlers overrun, and are inherited, though nothing can be loaded any more."""
    child = program(
        NO_MORE
        + """
    import os
    import sys
    import threading
    import lastout
    from say import say

    lastout.register(say, "ran")
    lastout.handler(timeout=0.05)(threading.Event().wait)
    lastout.handler(inherit=True, args=("inherited",))(say)
    no_more()
    if os.fork():
        os.wait()
    """,
        lazily=True,
    )
    end = child.end()
    assert child.lines == ["inherited", "inherited", "ran"]
    assert "HandlerTimeout" in end.err


@lazy
def test_a_signal_loads_nothing(program: Start) -> None:
    """A process that handles signals dies of one with nothing left to load it from."""
    child = program(
        NO_MORE
        + """
    import signal
    import sys
    import lastout
    from say import say

    lastout.handle_signals()
    lastout.register(say, "ran")
    no_more()
    signal.raise_signal(signal.SIGTERM)
    signal.pause()
    """,
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err, child.lines) == (-15, "", ["ran"])


@lazy
def test_leaving_a_scope_loads_nothing(program: Start) -> None:
    """A member forks, leaves and cleans with nothing left to load that from."""
    child = program(
        NO_MORE
        + """
    import os
    import sys
    import lastout
    from say import say

    scope = lastout.Scope("lazy")
    made = [os.fspath(scope.directory()), os.fspath(scope.file())]
    lastout.register(lambda: say("left", any(map(os.path.exists, made))))
    scope.leave()
    scope = lastout.Scope("lazy")
    made[:] = [os.fspath(scope.directory()), os.fspath(scope.file())]
    no_more()
    if os.fork():
        os.wait()
        say("still there", all(map(os.path.exists, made)))
    scope.leave()
    say("there", any(map(os.path.exists, made)))
    """,
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    assert child.lines == ["there True", "still there True", "there False", "left False"]


@lazy
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_that_a_pool_ends_finish(program: Start, method: str) -> None:
    """Workers that handle signals finish their handlers when a pool ends them by SIGTERM."""
    child = program(
        """
        import multiprocessing
        import os
        import sys
        import threading
        import lastout
        from say import say

        def finish():
            threading.Event().wait(0.1)
            say("finished", os.getpid())

        def begin(barrier):
            lastout.handle_signals()
            lastout.register(finish)
            barrier.wait(30)

        if __name__ == "__main__":
            context = multiprocessing.get_context(sys.argv[1])
            barrier = context.Barrier(4)
            with context.Pool(3, begin, (barrier,)) as pool:
                barrier.wait(30)
                workers = multiprocessing.active_children()
            pool.join()
            say("workers", *sorted(worker.pid for worker in workers))
        """,
        args=[method],
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")
    *finished, workers = child.lines
    assert sorted(line.split()[1] for line in finished) == sorted(workers.split()[1:])


@lazy
def test_each_module_loads(program: Start) -> None:
    """Each module of lastout can be loaded, and every name that it imports lazily as well."""
    names = [
        ".".join(path.relative_to(SOURCES[0].parent.parent).with_suffix("").parts)
        for path in SOURCES
        if path.stem != "__main__"
    ]
    child = program(
        """
        import sys
        import types
        from importlib import import_module

        for name in sys.argv[1:]:
            module = import_module(name.removesuffix(".__init__"))
            for attribute, value in list(vars(module).items()):
                if type(value) is types.LazyImportType:
                    getattr(module, attribute)
        """,
        args=names,
        lazily=True,
    )
    end = child.end()
    assert (end.status, end.err) == (0, "")


@lazy
@pytest.mark.parametrize(
    "text",
    [
        "lazy import lastout\n@lastout.register\ndef bye(): say('bye')",
        "lazy import lastout as atexit\n@atexit.register\ndef bye(): say('bye')",
        "lazy from lastout import register\n@register\ndef bye(): say('bye')",
        "lazy from lastout import handler\n@handler(timeout=9)\ndef bye(): say('bye')",
        "from lastout import *\nregister(say, 'bye')",
    ],
)
def test_lazy_keyword(program: Start, text: str) -> None:
    """What is imported from lastout by `lazy import` can be used at once, as a decorator too."""
    child = program(f"from say import say\n{text}\n")
    end = child.end()
    assert (end.status, end.err, child.lines) == (0, "", ["bye"])
