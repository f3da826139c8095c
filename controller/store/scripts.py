"""The Lua files as the store gets them, and which of them run when its memory is full.

A file in `lua/lib` is a library, every other one a script. The comments at a file's head say what it does, which
arguments it reads (`-- args: room_id name?`, with a question mark after one that may be absent), which libraries it
needs (`-- needs: playback members`), and which fields of its reply are lists (`-- lists: rows`). The store gets a
script as one text: a first line, the prelude, the libraries that it needs, each after those that it needs itself, and
the file. So a script takes the arguments of its libraries, too. Functions of libraries that it does not use are left
out. A library may end the script (lib/due.lua): libraries that come later, as they need more others, are not built up
then. Each library but the core is a block of its own, which takes what it uses of those before it from the table
`shared`: Lua has room for 200 locals at a time.

The script of a command, one that takes a `command`, is the body of a function, which the library `once` carries out
once for each idempotency key. So is one of TOGETHER, which `each` carries out as often as it has arguments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cache
from graphlib import TopologicalSorter
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from controller.store.prelude import prelude

# The scripts that run when the store's memory is full, and why: what was accepted goes on, ends, and frees memory.
RUNS_WHEN_FULL = {
    "ends something": "control_recording delete_recording delete_room emit_endings hang_up kick_all leave stop"
    " stop_session_play",
    "follows a node": "digit_pressed file_done flag_changed job_done jobs_lost leg_joined leg_left level_changed"
    " member_joined member_left note_node overdue playback_lost recording_changed recording_ended recording_started"
    " recording_stored recording_uploaded recordings_due recordings_known relations_lost rest_began session_answered"
    " session_ended session_file_done session_play_lost session_ringing session_transferred snapshot speak take"
    " transfer_over",
    "delivers webhooks": "delivery_aside delivery_settle",
    "holds a lease": "delivery_lease fence lease relays release workers",
    "counts requests": "admit login_admit",
    "is the end of a request with an idempotency key": "keep_answer release_key",
    "reads": "count get_delivery get_endpoint get_recording get_room get_session list_deliveries list_members"
    " list_recordings list_rooms list_sessions waiting",
    "says where webhooks go": "set_endpoint",
    "is run by the operator": "console_begin console_link console_session log_action operator registry watch",
}
# The scripts that are refused then, as `store_full`, since they would only use more.
REFUSED_WHEN_FULL = {
    "begins something": "claim_key collect_digits create_room dial join may_play may_play_to_session play"
    " play_to_session record_room record_session session_parked transfer",
    "changes something": "change_member change_room coach pause rotate_secret send_dtmf set_flag"
    " set_flag_of_all set_level speakers_changed uncoach volume",
    "sends once more": "redeliver redeliver_range test_endpoint",
}

# Of which as many steps as MAX_TOGETHER may run in one call: each is short, and they often come in numbers.
TOGETHER = frozenset(
    {
        *("flag_changed", "level_changed", "speakers_changed"),
        *("member_joined", "member_left", "session_ended", "session_parked"),
        *("file_done", "session_file_done"),
    }
)
MAX_TOGETHER = 10

LUA = Path(__file__).parent / "lua"
CORE = "core"  # the library that every script needs, before all others
ONCE = "once"  # the library that carries out the commands
EACH = "each"  # the library that carries out the scripts of TOGETHER

# What an error message calls lines that are in no file.
PRELUDE = "prelude"

# Around a script that one of these libraries carries out.
_FUNCTION = ("local function carry_out()\n", "end\nreturn {}(carry_out)\n")

# What a script begins with: it makes the server refuse keys of another hash slot than the partition's, and the whole
# script when memory is full, unless that is allowed. A script that is in neither table has none, and cannot be loaded.
_FIRST_LINES = {
    name: line
    for line, table in (("#!lua flags=allow-oom\n", RUNS_WHEN_FULL), ("#!lua\n", REFUSED_WHEN_FULL))
    for names in table.values()
    for name in names.split()
}
_HEAD = re.compile(r"^-- (args|needs|lists): (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_SHARED = "local shared = {}\n"
_DEFINED = re.compile(r"^local (?:function (\w+)|(\w+(?:, \w+)*))", re.MULTILINE)
_LOCAL_FUNCTION = re.compile(r"^local function (\w+)\((?:.*\bend|.*(?:\n(?!end$).*)*\nend)$", re.MULTILINE)
_LINE_IN_STORE = re.compile(r"\buser_script:(\d+)")


@dataclass(frozen=True, slots=True)
class Source:
    """A Lua file. `arguments`: by name, those that it reads itself, and whether each must be given."""

    path: Path
    text: str
    arguments: dict[str, bool]
    needs: tuple[str, ...]
    lists: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def is_library(self) -> bool:
        return self.path.parent.name == "lib"


@dataclass(frozen=True, slots=True)
class Script:
    """A script as the store gets it. `required`: its `arguments` that must be given. `lists`: the fields of its reply
    that are lists. `parts`: the line at which each file begins, in order.
    """

    name: str
    text: str
    arguments: frozenset[str]
    required: frozenset[str]
    lists: frozenset[str]
    parts: tuple[tuple[int, str], ...]

    def check(self, given: Mapping[str, object]) -> None:
        """Raises TypeError for arguments that it does not take, or lacks. None counts as absent."""
        unknown = given.keys() - self.arguments
        missing = {name for name in self.required if given.get(name) is None}
        if unknown or missing:
            raise TypeError(f"script {self.name} takes no {sorted(unknown)}, and lacks {sorted(missing)}")

    def reply(self, text: bytes) -> dict[str, Any]:
        """A reply. Lua has no empty list that is not an empty object too, so a script leaves it out. Bytes in a record
        that are no UTF-8 are replaced.
        """
        try:
            found: dict[str, Any] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found = orjson.loads(text.decode(errors="replace"))
        return found if "refused" in found else {**{name: [] for name in self.lists}, **found}

    def locate(self, message: str) -> str:
        """An error message of the store, with file and line in place of the line in the text."""
        return _LINE_IN_STORE.sub(lambda found: self._place(int(found[1])), message)

    def _place(self, line: int) -> str:
        begin, name = max((part for part in self.parts if part[0] <= line), default=(1, PRELUDE))
        return f"{name}:{line - begin + 1}"


@cache
def sources() -> dict[str, Source]:
    """The scripts' files by name."""
    return {source.name: source for source in _files() if not source.is_library}


@cache
def libraries() -> dict[str, Source]:
    """The libraries' files by name."""
    return {source.name: source for source in _files() if source.is_library}


def libraries_of(source: Source, known: Mapping[str, Source] | None = None) -> list[Source]:
    """The libraries that a file needs, out of `known`, each after those that it needs itself.

    Raises KeyError for an unknown library, `graphlib.CycleError` for libraries that need each other.
    """
    known = libraries() if known is None else known
    graph: dict[str, tuple[str, ...]] = {CORE: ()}
    waiting = list(source.needs)
    while waiting:
        name = waiting.pop()
        if name not in graph:
            graph[name] = (CORE, *known[name].needs)
            waiting.extend(known[name].needs)
    order = TopologicalSorter(dict(sorted(graph.items()))).static_order()
    return [known[name] for name in order if name != source.name]


def is_of_command(source: Source) -> bool:
    """Whether a script carries out a command of the API. That which claims a command's key does not."""
    files = (*libraries_of(source), source)
    return any("command" in file.arguments for file in files) and "idempotency" not in source.needs


@cache
def load() -> dict[str, Script]:
    """All scripts by name."""
    return {name: _script(source) for name, source in sources().items()}


def arguments(name: str) -> frozenset[str]:
    """Every argument that a script takes."""
    return load()[name].arguments


def _script(source: Source) -> Script:
    own = [(_name(source), source.text)]
    needs = source.needs
    carried_out_by = EACH if source.name in TOGETHER else ONCE if is_of_command(source) else ""
    if carried_out_by:
        (begin, end), needs = _FUNCTION, (*needs, carried_out_by)
        own = [(PRELUDE, begin), *own, (PRELUDE, end.format(carried_out_by))]
    files = [*libraries_of(replace(source, needs=needs)), source]
    core, *others = _used([*((_name(file), file.text) for file in files[:-1]), *own])
    count = len(files) - 2
    texts = [core, (PRELUDE, _SHARED), *_blocks(others[:count], others[count:])]
    code = "".join(text for _, text in texts)
    head = _FIRST_LINES[source.name] + prelude(_COMMENT.sub("", code))
    parts, line = [], head.count("\n") + 1
    for name, text in texts:
        parts.append((line, name))
        line += text.count("\n")
    return Script(
        name=source.name,
        text=head + code,
        arguments=frozenset(argument for file in files for argument in file.arguments),
        required=frozenset(argument for file in files for argument, must in file.arguments.items() if must),
        lists=frozenset(name for file in files for name in file.lists),
        parts=tuple(parts),
    )


def _used(texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without the functions that nothing calls; their lines are left empty, so that the others keep their numbers."""
    parsed = [_functions(text) for _, text in texts]
    calls: dict[str, set[str]] = {}
    for function in chain.from_iterable(functions for functions, _ in parsed):
        calls.setdefault(function.name, set()).update(function.words)
    used: set[str] = set()
    waiting = calls.keys() & set().union(*(words for _, words in parsed))
    while waiting:
        used |= waiting
        waiting = (calls.keys() & set().union(*(calls[name] for name in waiting))) - used
    left = []
    for (name, text), (functions, _) in zip(texts, parsed, strict=True):
        for function in functions:
            if function.name not in used:
                text = text.replace(function.text, "\n" * function.text.count("\n"), 1)  # noqa: PLW2901
        left.append((name, text))
    return left


class _Function(NamedTuple):
    name: str
    text: str
    words: frozenset[str]


@cache
def _functions(text: str) -> tuple[list[_Function], frozenset[str]]:
    """The local functions of a file, and the words that it has besides them."""
    functions = [_Function(found[1], found[0], _words(found[0])) for found in _LOCAL_FUNCTION.finditer(text)]
    return functions, _words(_LOCAL_FUNCTION.sub("", text))


def _words(code: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", _COMMENT.sub("", code)))


def _blocks(libraries: Sequence[tuple[str, str]], own: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Libraries as blocks, each with what it uses of those before it, and then the script's own text with the same."""
    texts = [*(text for _, text in libraries), "".join(text for _, text in own)]
    words = [_words(text) for text in texts]
    known: set[str] = set()
    for at, (name, text) in enumerate(libraries):
        defined = {word for found in _DEFINED.findall(text) for word in (found[0] or found[1]).split(", ")}
        handed_on = sorted(defined & set().union(*words[at + 1 :]))
        yield PRELUDE, "do " + _taken(known & words[at])
        yield name, text
        yield PRELUDE, "".join(f"shared.{word} = {word} " for word in handed_on) + "end\n"
        known.update(handed_on)
    yield PRELUDE, _taken(known & words[-1])
    yield from own


def _taken(names: Set[str]) -> str:
    taken = sorted(names)
    return f"local {', '.join(taken)} = {', '.join(f'shared.{name}' for name in taken)}\n" if taken else "\n"


def _name(source: Source) -> str:
    return str(source.path.relative_to(LUA.parent))


def parse(path: Path, text: str) -> Source:
    """A Lua file, with what its head says."""
    heads: dict[str, list[str]] = {"args": [], "needs": [], "lists": []}
    for kind, names in _HEAD.findall(text):
        heads[kind] += names.split()
    read = {name.removesuffix("?"): not name.endswith("?") for name in heads["args"]}
    return Source(path, text, read, tuple(heads["needs"]), tuple(heads["lists"]))


@cache
def _files() -> list[Source]:
    return [parse(path, path.read_text()) for path in sorted(LUA.rglob("*.lua"))]
