"""All mutants of one module, by the operators of mutmut.

mutmut's own runner changes functions only, and none that is decorated: no constant of a module, no default of a
dataclass, no property and no loop that Numba compiles. So only its operators are taken, on the whole file. Left out are
annotations, aliases of types, decorators, imports, docstrings, and what a ``raise`` says: a test that holds a message
to the letter pins its text and nothing else (whether it is raised is mutated); and for the same reason strings with a
blank in them, which are words for people.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

SKIPPED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise)
STATEMENTS = (cst.SimpleStatementLine, cst.BaseCompoundStatement)


@dataclass(frozen=True)
class Mutant:
    """One change: `key` stays as long as the text of its function (of its statement, outside functions) does."""

    key: str
    scope: str
    line: int
    was: str
    now: str
    first: int
    """Lines of the innermost statement: tests that reach one of them can see the change."""
    last: int
    inside: bool
    """Of a function; else it runs when the module is imported."""
    old: cst.CSTNode = field(repr=False, compare=False)
    new: cst.CSTNode = field(repr=False, compare=False)


class _Walk(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, module: cst.Module) -> None:
        super().__init__()
        self.module = module
        self.names: list[str] = []
        self.functions = 0
        self.statements: list[cst.CSTNode] = []
        self.scope: list[cst.CSTNode] = []
        self.counts: dict[str, int] = {}
        self.found: list[Mutant] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, SKIPPED) or self._is_alias(node):
            return False
        if isinstance(node, STATEMENTS):
            self.statements.append(node)
            if not self.functions:
                self.scope.append(node)
        if isinstance(node, cst.FunctionDef):
            self.functions += 1
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.append(node.name.value)
        if self.statements:
            self._mutate(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        node = original_node
        if isinstance(node, SKIPPED):
            return
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.names.pop()
        if isinstance(node, cst.FunctionDef):
            self.functions -= 1
        if isinstance(node, STATEMENTS):
            self.statements.pop()
            if not self.functions:
                self.scope.pop()

    def _is_alias(self, node: cst.CSTNode) -> bool:
        """``Flags = NDArray[np.bool_]``: read by the type checker alone."""
        return isinstance(node, cst.Assign) and not self.names and isinstance(node.value, cst.Subscript)

    def _mutate(self, node: cst.CSTNode) -> None:
        for kind, operator in mutation_operators:
            if isinstance(node, kind) and not (isinstance(node, cst.SimpleString) and " " in node.value):
                for new in operator(node):
                    if not (isinstance(node, cst.BaseNumber) and node.evaluated_value == new.evaluated_value):
                        self._add(node, new)  # 1e18 + 1 is 1e18

    def _add(self, node: cst.CSTNode, new: cst.CSTNode) -> None:
        scope = ".".join(self.names)
        change = "\0".join([scope, self._code(self.scope[-1]).strip(), self._code(node), self._code(new)])
        count = self.counts[change] = self.counts.get(change, -1) + 1  # the same may be said twice
        key = hashlib.sha256(f"{change}\0{count}".encode()).hexdigest()[:12]
        statement = self.get_metadata(PositionProvider, self.statements[-1])
        self.found.append(
            Mutant(
                key,
                scope,
                self.get_metadata(PositionProvider, node, statement).start.line,
                _short(self._code(node)),
                _short(self._code(new)),
                statement.start.line,
                statement.end.line,
                bool(self.functions),
                node,
                new,
            )
        )

    def _code(self, node: cst.CSTNode) -> str:
        return self.module.code_for_node(node)


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) < 100 else line[:97] + "..."


@dataclass(frozen=True)
class Made:
    """The mutants of a file, and their texts."""

    module: cst.Module
    mutants: list[Mutant]

    def text(self, mutant: Mutant) -> str:
        """The whole file with the one change."""
        changed = self.module.deep_replace(mutant.old, mutant.new)
        assert isinstance(changed, cst.Module)
        return changed.code


def make(path: Path) -> Made:
    """All mutants of a file; a change that is no Python is none."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text(encoding="utf-8")))
    walk = _Walk(wrapper.module)
    wrapper.visit(walk)
    return Made(wrapper.module, list(_different(walk.found)))


def _different(found: list[Mutant]) -> Iterator[Mutant]:
    seen: set[tuple[int, str]] = set()
    for mutant in found:
        same = (id(mutant.old), mutant.now)
        if mutant.was != mutant.now and (same not in seen or mutant.now.endswith("...")):
            seen.add(same)
            yield mutant
