"""A real signal at every instruction of chosen code, one run for each instruction.

    moment = 1
    while run_interrupted(scenario, moment, handler, watched):
        moment += 1

A traced frame calls `_thread.interrupt_main`, by way of C code only, just before
an instruction is executed.  That marks SIGINT as arrived, and CPython runs its
Python handler at the next point where it would have run it anyway, so exactly what
a user's Ctrl-C can do is tried, and nothing that it cannot do.  (An exception
raised by the trace function itself would also fall between instructions that no
signal can come between.)

Instructions that run no other code and give signals no turn are not counted: a
signal before one of them is a signal before the next one that is.
"""

from __future__ import annotations

import _thread
import io
import signal
import sys
from dis import opname
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

UNEVENTFUL = ("LOAD_FAST", "LOAD_CONST", "LOAD_GLOBAL", "LOAD_DEREF", "STORE_FAST", "STORE_DEREF")
UNEVENTFUL += ("POP_TOP", "PUSH_", "COPY", "SWAP", "BUILD_TUPLE", "BUILD_LIST", "NOP", "IS_OP")


class _Marker(io.IOBase):
    """Its `__exit__` is C code that only calls `close()`: here, to mark SIGINT as arrived."""

    close = _thread.interrupt_main
    closed = True  # nothing is to be done when it is collected


# Trace functions in C, whatever they are called with.  Not made by ctypes: from Python 3.14
# its calls are audited, and a hook in Python (filelock has one) would give the signal a
# turn where a user's Ctrl-C has none.
_mark_sigint = _Marker().__exit__
_do_nothing = memoryview(b"").__exit__


def run_interrupted(
    scenario: Callable[[], None],
    moment: int,
    handler: Callable[[], None],
    watched: Callable[[str], bool],
) -> bool:
    """Run `scenario`; SIGINT arrives before the `moment`-th instruction of watched files.

    `handler` is the signal handler.  What it raises comes out of here, unless
    the scenario caught it.

    Returns:
        Whether the scenario has that many instructions: False after the last.
    """
    seen = 0
    arrived = False

    def on_signal(signum: int, frame: FrameType | None) -> None:
        nonlocal arrived
        sys.settrace(None)
        if not arrived:
            arrived = True
            handler()

    def count(frame: FrameType, event: str, arg: object) -> Callable[..., object] | None:
        nonlocal seen
        if event == "call":
            if not watched(frame.f_code.co_filename):
                return None
            frame.f_trace = count  # first: 3.13 looks for it when opcodes are asked for
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif event == "opcode" and _is_eventful(frame.f_code, frame.f_lasti):
            seen += 1
            if seen == moment:
                # From here on no Python code of ours may run: it would meet
                # the signal itself.
                _trace_no_more(frame)
                return _mark_sigint
        return count

    # 3.12 looks for this in the frame that sets the tracer.
    sys._getframe().f_trace_opcodes = True
    before, tracer = signal.signal(signal.SIGINT, on_signal), sys.gettrace()
    try:
        sys.settrace(count)
        scenario()
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, before)
        sys.settrace(tracer)
    return seen >= moment


@cache
def _is_eventful(code: CodeType, place: int) -> bool:
    return not opname[code.co_code[place]].startswith(UNEVENTFUL)


def _trace_no_more(frame: FrameType) -> None:
    sys.settrace(_do_nothing)
    caller = frame.f_back
    while caller is not None:
        if caller.f_trace is not None:
            caller.f_trace = _do_nothing
        caller = caller.f_back
