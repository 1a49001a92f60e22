"""What tests share: programs in processes of their own, leak checks, waiting.

A test asks for the `program` fixture, which starts scripts:

    def test_handlers_run_at_exit(program):
        '''A handler runs when its process ends.'''
        child = program('''
            import lastout
            from say import say

            lastout.register(say, "bye")
            say("ready")
            input()
        ''')
        child.wait_for("ready")      # until any of its processes said so
        child.tell("go")             # a line on its standard input
        ended = child.end()          # until it ended; fails after 60 s
        assert ended.status == 0, ended.err
        assert child.lines == ["ready", "bye"]

`say(*words)` writes one line, in a single write, to a file that all processes
of the program share.  `child.signal(SIGTERM)`, `child.kill()` and
`child.interrupt()` act on it; see `Program` for the options (`modules`, `args`,
`isolated`, `env`).

Each test is checked for what it leaves behind (`support.leaks`); one that has to
leave something says so: `@pytest.mark.leaks("threads", reason="...")`.
"""

from __future__ import annotations

from .program import Ended, Program
from .waiting import eventually, is_running

__all__ = ["Ended", "Program", "eventually", "is_running"]
