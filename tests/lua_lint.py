"""Checks the store's Lua files, each as the store gets it: with the prelude and the libraries that it needs.

    python -m tests.lua_lint

Each problem is a line: file, line, what is wrong. Syntax; names that are not there, are not used, hide another or are one
letter; arguments that are read and not declared, or the other way round; libraries that are needed for nothing; keys,
states and events that are not there; keys with too few ids or too many; states that are written as text instead of
taken from their table; long lines; heads that do not say what a file does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from luaparser import ast
from luaparser import astnodes as lua

from controller.store import keys, states
from controller.store.prelude import CONSTANTS
from controller.store.scripts import CORE, LUA, ONCE, Source, libraries, libraries_of, sources

# Of Lua and the store's: what the scripts may use.
GLOBALS = {
    "cjson", "collectgarbage", "error", "getmetatable", "ipairs", "math", "next", "os", "pairs", "pcall", "redis", "setmetatable",
    "string", "table", "tonumber", "tostring", "type", "unpack",
}  # fmt: skip
PRELUDE = {"tag", "keys", "STEPS", *CONSTANTS}
LETTERS = {"i", "j", "_"}
MAX_LINE = 120
# The values that a table of the prelude has.
MEMBERS = {
    "keys": set(keys.SUFFIXES),
    "STEPS": set(states.TABLES),
    "DELIVERY_STATUS": set(states.DELIVERY_STATUS),
    **{name: set(table) for name, table in states.TABLES.items()},
}
EVENTS = {name: {event for events in table.values() for event in events} for name, table in states.TABLES.items()}
# The functions that pass an event on to `step`: its table of states, and which of their arguments it is.
PASS_EVENTS = {
    "step_session": ("SESSION", 1),
    "step_playback": ("PLAYBACK", 1),
    "depart": ("SESSION", 2),
    "end_urls": ("URL", 3),
    "session_file_over": ("URL", 3),
    "step_leg": ("LEG", 2),
    "leg_lost": ("LEG", 2),
    "step_recording": ("RECORDING", 1),
    "keep_file": ("RECORDING", 1),
}
# The fields of the store that keep a state.
STATE_FIELDS = {"state", "status"}


@dataclass
class Local:
    line: int
    used: bool = False


class File:
    """What is found in a file, whose libraries were read before.

    `exports`: its top-level locals; `uses`: names that are not its own; `arguments`: those that it reads, by line.
    """

    def __init__(self, source: Source, libraries: Sequence[File] = ()) -> None:
        self.source = source
        self.problems: list[tuple[int, str]] = []
        self.exports: dict[str, Local] = {}
        self.uses: set[str] = set()
        self.arguments: dict[str, int] = {}
        self._libraries = libraries
        self._outside = {name for library in libraries for name in library.exports}
        self._scopes: list[dict[str, Local]] = []
        self._line = 1
        self._check_text()
        try:
            self._scope(ast.parse(source.text).body.body)
        except ast.SyntaxException as error:
            at = re.search(r"line (\d+):", str(error))
            self._problem(int(at[1]) if at else 1, str(error))
        else:
            self._check_arguments()

    def _check_text(self) -> None:
        if not re.match(r"-- [A-Z]", self.source.text):
            self._problem(1, "no comment says what it does")
        for number, text in enumerate(self.source.text.splitlines(), start=1):
            if len(text) > MAX_LINE:
                self._problem(number, f"the line has {len(text)} characters, more than {MAX_LINE}")

    def _check_arguments(self) -> None:
        for name in self.arguments.keys() - self.source.arguments.keys():
            self._problem(self.arguments[name], f"args.{name} is read and not declared")
        read = {name for file in (self, *self._libraries) for name in file.arguments}
        for name in self.source.arguments.keys() - read:
            self._problem(1, f"argument {name} is declared and not read")

    def mark_used(self) -> None:
        """Marks what it uses of its libraries."""
        for library in self._libraries:
            for name in self.uses & library.exports.keys():
                library.exports[name].used = True
            if library.source.name in self.source.needs and not self.uses & library.exports.keys():
                self._problem(1, f"library {library.source.name} is needed for nothing")

    def all_problems(self) -> list[tuple[int, str]]:
        """By line, when all files have marked what they use."""
        return sorted([*self.problems, *_unused(self.exports)])

    def _problem(self, line: int, text: str) -> None:
        self.problems.append((line, text))

    # Scopes

    def _scope(self, body: list[lua.Node], names: tuple[lua.Name, ...] = (), last: lua.Node | None = None) -> None:
        """A block, with `names` declared for it: parameters, or variables of a loop. `last`: the test of a repeat."""
        self._scopes.append({})
        for name in names:
            self._declare(name)
        for statement in body:
            self._visit(statement)
        if last is not None:
            self._visit(last)
        scope = self._scopes.pop()
        if self._scopes:
            self.problems += _unused(scope)
        else:
            self.exports = scope

    def _declare(self, node: lua.Node) -> None:
        if not isinstance(node, lua.Name):  # Dots
            return
        name, line = node.id, node.line or self._line
        if len(name) == 1 and name not in LETTERS:
            self._problem(line, f"{name} is no word")
        if name != "_" and (name in self._outside or any(name in scope for scope in self._scopes)):
            self._problem(line, f"{name} hides another")
        self._scopes[-1][name] = Local(line)

    def _find(self, name: str) -> Local | None:
        return next((scope[name] for scope in reversed(self._scopes) if name in scope), None)

    def _is_lasting(self, name: str) -> bool:
        """Whether it is a local of a library's file, of which others have got the value, and this is in a function."""
        *inner, outermost = reversed(self._scopes)
        return (
            self.source.is_library and name in outermost and not any(name in scope for scope in inner) and bool(inner)
        )

    def _use(self, node: lua.Name) -> None:
        local = self._find(node.id)
        if local:
            local.used = True
        else:
            self.uses.add(node.id)
            if node.id not in GLOBALS | PRELUDE | self._outside:
                self._problem(self._line, f"{node.id} is not there")

    # Nodes

    def _visit(self, *nodes: object) -> None:
        for node in nodes:
            if isinstance(node, list):
                self._visit(*node)
            elif isinstance(node, lua.Node):
                self._line = node.line or self._line
                VISITORS.get(type(node), File._visit_parts)(self, node)

    def _visit_parts(self, node: lua.Node) -> None:
        self._visit(*(value for name, value in vars(node).items() if name != "comments"))

    def _visit_local(self, node: lua.LocalAssign) -> None:
        self._visit(node.values)
        for target in node.targets:
            self._declare(target)

    def _visit_assign(self, node: lua.Assign) -> None:
        self._visit(node.values)
        for target, value in zip(node.targets, node.values, strict=False):
            self._check_state(target, value)
        for target in node.targets:
            if not isinstance(target, lua.Name):
                self._visit(target)
            elif not self._find(target.id):
                if (self.source.name, target.id) != (CORE, "tag"):
                    self._problem(self._line, f"{target.id} is assigned, and is no local of this file")
            elif self.source.name != CORE and (target.id.isupper() or self._is_lasting(target.id)):
                self._problem(self._line, f"{target.id} is assigned in a step, and is there for all of them")

    def _visit_function(self, node: lua.Function | lua.AnonymousFunction) -> None:
        self._visit(getattr(node, "name", None))
        self._scope(node.body.body, tuple(node.args))

    def _visit_local_function(self, node: lua.LocalFunction) -> None:
        self._declare(node.name)
        name, arguments = node.name.id, [getattr(argument, "id", "") for argument in node.args]
        if "event" in arguments and name != "step":
            _, position = PASS_EVENTS.get(name, ("", -1))
            if arguments.index("event") != position:
                self._problem(self._line, f"{name} takes an event, and is not in PASS_EVENTS with it")
        self._scope(node.body.body, tuple(node.args))

    def _visit_count(self, node: lua.Fornum) -> None:
        self._visit(node.start, node.stop, node.step)
        self._scope(node.body.body, (node.target,))

    def _visit_each(self, node: lua.Forin) -> None:
        self._visit(node.iter)
        self._scope(node.body.body, tuple(node.targets))

    def _visit_name(self, node: lua.Name) -> None:
        if node.id == "args":
            self._problem(self._line, "args is read as a whole")
        self._use(node)

    def _visit_field(self, node: lua.Field) -> None:
        if not node.between_brackets and node.key:
            self._check_state(node.key, node.value)
        self._visit(node.value, node.key if node.between_brackets else None)

    def _visit_index(self, node: lua.Index) -> None:
        table = node.value.id if isinstance(node.value, lua.Name) else ""
        name = node.idx.id if node.notation == lua.IndexNotation.DOT else ""
        if table == "args" and name:
            self.arguments.setdefault(name, self._line)
            self._use(node.value)
            return
        if name and table in MEMBERS and name not in MEMBERS[table]:
            self._problem(self._line, f"{table}.{name} is not there")
        self._visit(node.value, None if name else node.idx)

    def _visit_comparison(self, node: lua.EqToOp | lua.NotEqToOp) -> None:
        self._check_state(node.left, node.right)
        self._check_state(node.right, node.left)
        self._visit(node.left, node.right)

    def _visit_call(self, node: lua.Call) -> None:
        match node.func:
            case lua.Name(id="step"):
                self._check_event(node.args[0].s.decode(), node.args[2])
            case lua.Name(id="empty_each_step") if not self.source.is_library:
                self._problem(self._line, "empty_each_step is for libraries: here it would be called at each step")
            case lua.Name(id=name) if name in PASS_EVENTS:
                table, position = PASS_EVENTS[name]
                self._check_event(table, node.args[position])
            case lua.Index(value=lua.Name(id="keys"), idx=lua.Name(id=name)) if name in keys.SUFFIXES:
                count = keys.SUFFIXES[name].count("%s")
                if len(node.args) != count:
                    self._problem(self._line, f"keys.{name} takes {count} ids, not {len(node.args)}")
            case lua.Index(value=lua.Name(id="redis")) if texts(node.args[0]) & {"HSET", "HSETNX"}:
                for field, value in pairwise(node.args):
                    if texts(field) & STATE_FIELDS:
                        self._check_text_of_state(value)
        self._visit(node.func, node.args)

    def _check_event(self, table: str, event: lua.Node) -> None:
        for text in sorted(texts(event) - EVENTS[table]):
            self._problem(self._line, f"{table} has no event {text}")

    def _check_state(self, field: lua.Node, value: lua.Node) -> None:
        """`field` is set to `value`, or compared with it."""
        match field:
            case lua.Index(idx=lua.Name(id="state" | "status")) | lua.Name(id="state"):
                self._check_text_of_state(value)

    def _check_text_of_state(self, value: lua.Node) -> None:
        for text in sorted(texts(value)):
            self._problem(self._line, f'"{text}" is the text of a state')


def texts(node: lua.Node) -> set[str]:
    """The texts that stand for the value of an expression: one, or both ends of `test and "one" or "other"`."""
    match node:
        case lua.String():
            return {node.s.decode()}
        case lua.OrLoOp():
            return texts(node.left) | texts(node.right)
        case lua.AndLoOp():
            return texts(node.right)
    return set()


def _unused(scope: dict[str, Local]) -> list[tuple[int, str]]:
    return [(local.line, f"{name} is not used") for name, local in scope.items() if not local.used and name != "_"]


# All other nodes are their parts.
VISITORS: dict[type[lua.Node], Callable[[File, Any], None]] = {
    lua.LocalAssign: File._visit_local,
    lua.Assign: File._visit_assign,
    lua.Function: File._visit_function,
    lua.AnonymousFunction: File._visit_function,
    lua.LocalFunction: File._visit_local_function,
    lua.Fornum: File._visit_count,
    lua.Forin: File._visit_each,
    lua.Block: lambda file, node: file._scope(node.body),
    lua.Repeat: lambda file, node: file._scope(node.body.body, last=node.test),
    lua.Name: File._visit_name,
    lua.Field: File._visit_field,
    lua.Index: File._visit_index,
    lua.Invoke: lambda file, node: file._visit(node.source, node.args),
    lua.Call: File._visit_call,
    lua.EqToOp: File._visit_comparison,
    lua.NotEqToOp: File._visit_comparison,
}


def check() -> Iterator[str]:
    """Every problem, as a line."""
    read: dict[str, File] = {}

    def read_with_libraries(source: Source) -> File:
        return File(source, [read[library.name] for library in libraries_of(source)])

    for library in libraries().values():
        for source in (*libraries_of(library), library):
            if source.name not in read:
                read[source.name] = read_with_libraries(source)
    files = [*read.values(), *map(read_with_libraries, sources().values())]
    for file in files:
        file.mark_used()
    for around, name in ((ONCE, ONCE), (CORE, "begin")):
        read[around].exports[name].used = True  # around scripts
    for file in files:
        path = file.source.path.relative_to(LUA.parents[2])
        yield from (f"{path}:{line}: {text}" for line, text in file.all_problems())


def main() -> None:
    problems = list(check())
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
