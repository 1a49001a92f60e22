"""All that a module could be by one small mistake: the operators of cosmic-ray, applied."""

from __future__ import annotations

import ast
import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# What nobody writes by mistake: bits, and `is` for `==`.  And what wants to be told of variables.
_LEFT_OUT = re.compile(
    r"Binary.*_(Pow|RShift|LShift|BitOr|BitAnd|BitXor|FloorDiv|Mod)$"
    r"|Comparison.*_(Eq|NotEq|Lt|LtE|Gt|GtE)_(Is|IsNot)$"
    r"|/Variable"
)


class Mutant(NamedTuple):
    """A module with one change.

    Attributes:
        line: where it is.
        old: what stands there, without indentation.
        new: what stands there instead.
        source: the whole module.
    """

    line: int
    old: str
    new: str
    source: str


def mutants_of(source: str) -> list[Mutant]:
    """Each of them once, by line; none where only an annotation is another."""
    seen = {_what_runs(source)}
    found = []
    for changed in _changed(source):
        try:
            runs = _what_runs(changed)
        except SyntaxError:
            continue
        if runs not in seen:
            seen.add(runs)
            found.append(_described(source, changed))
    return sorted(found)


def _changed(source: str) -> Iterator[str]:
    nodes = list(_walk(get_ast(source)))
    for name in operator_names():
        if _LEFT_OUT.search(name):
            continue
        operator = get_operator(name)()
        places = sum(1 for node in nodes for _ in operator.mutation_positions(node))
        for place in range(places):
            yield mutate_code(source, operator, place)


def _walk(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from _walk(child)


class _Stripper(ast.NodeTransformer):
    """Takes away what only type checkers read."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        return ast.Pass() if ast.unparse(node.targets[0]) == "TYPE_CHECKING" else node

    def visit_If(self, node: ast.If) -> ast.AST:
        is_for_types = "TYPE_CHECKING" in ast.unparse(node.test)
        return ast.Pass() if is_for_types else self.generic_visit(node)


def _what_runs(source: str) -> str:
    return ast.dump(_Stripper().visit(ast.parse(source)))


def _described(source: str, changed: str) -> Mutant:
    old, new = source.splitlines(), changed.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    blocks = [block for block in matcher.get_opcodes() if block[0] != "equal"]
    first, last = blocks[0], blocks[-1]
    return Mutant(
        first[1] + 1,
        " ".join(line.strip() for line in old[first[1] : last[2]]),
        " ".join(line.strip() for line in new[first[3] : last[4]]),
        changed,
    )
