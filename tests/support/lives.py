"""What the processes of a test program said about their lives; see `tests/programs/family.py`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Life:
    """One process: the handlers it registered, those it ran, and the work it did, in order."""

    def __init__(self) -> None:
        self.registered: list[str] = []
        self.ran: list[str] = []
        self.lived: list[str] = []


class Lives:
    """All processes of a program.

    Args:
        lines: what they said: `registered NAME PID`, `ran NAME PID`, `lived NAME PID`
            and `ended GENERATION STATUS`; anything else is left alone.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.by_pid: dict[int, Life] = {}
        self.statuses: dict[int, list[str]] = {}
        for line in lines:
            verb, *words = line.split()
            if verb == "ended":
                self.statuses.setdefault(int(words[0]), []).append(words[1])
            elif verb in ("registered", "ran", "lived"):
                getattr(self.by_pid.setdefault(int(words[1]), Life()), verb).append(words[0])

    @property
    def over(self) -> bool:
        """Whether each process that did work ran as many handlers as it registered, or more."""
        working = (life for life in self.by_pid.values() if life.lived)
        return all(len(life.ran) >= len(life.registered) for life in working)

    def of(self, name: str) -> list[Life]:
        """The processes that did the work `name`."""
        return [life for life in self.by_pid.values() if name in life.lived]

    def check_all_ran_what_they_registered(
        self, inherited: Iterable[str] = (), module_level: Iterable[str] = ("preloaded",)
    ) -> None:
        """Each process ran its own handlers once each, last in first out, and no others.

        A fork server runs none; what modules registered in it runs last in its children.

        Args:
            inherited: the handlers that each process has got besides, in whatever order.
            module_level: the handlers that a fork server may register.
        """
        wanted, of_modules = Counter(inherited), set(module_level)
        for pid, life in self.by_pid.items():
            if self._may_be_server(life, of_modules):
                continue
            own = [name for name in life.ran if name not in wanted]
            mine, of_server = own[: len(life.registered)], own[len(life.registered) :]
            assert mine == life.registered[::-1], f"process {pid} of {self}"
            assert len(of_server) == len({*of_server} - {*mine}), f"twice in {pid} of {self}"
            assert of_modules.issuperset(of_server), f"{pid} of {self}"
            foreign = Counter(name for name in life.ran if name in wanted)
            assert foreign == wanted, f"process {pid} of {self}"

    def _may_be_server(self, life: Life, of_modules: set[str]) -> bool:
        at_work = set(life.lived) - {"main"}  # which is said at the module level as well
        return not life.ran and not at_work and set(life.registered) <= of_modules

    def check_what_was_preloaded(self, kinds: Iterable[str]) -> None:
        """Just the children of a fork server that preloads a module run what that registered.

        Args:
            kinds: of which kind the process of each generation is, from the first child on.
        """
        for generation, kind in enumerate(kinds, 1):
            for life in self.of(str(generation)):
                assert life.ran.count("preloaded") == ("preload" in kind), f"{kind} of {self}"

    def __str__(self) -> str:
        return "".join(f"\n  {pid}: {vars(life)}" for pid, life in self.by_pid.items())
