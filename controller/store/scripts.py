"""The Lua files as the store gets them, and which of them run when its memory is full.

A file in `lua/lib` is a library, every other one a script. The comments at a file's head say what it does, which
arguments it reads (`-- args: room_id name?`, with a question mark after one that may be absent), which libraries it
needs (`-- needs: playback members`), and which fields of its reply are lists (`-- lists: rows`). A script takes the
arguments of its libraries, too.

The store gets all of them as one library of functions (FUNCTION LOAD), each script as a function of it, and keeps it
with its data. So what is defined is made once, and not at each call: all of a library's file, and of a script's what
comes before its first statement that defines nothing. Definitions are functions, and constants, whose names are in
capitals. The rest of a script is the body of its function. What a step changes must be made in it, or emptied by
`empty_each_step` (lib/core.lua); constants are frozen. Each file is a block of its own, which takes what it uses of
those before it from the table `shared`: Lua has room for 200 locals at a time.

Functions are named after the text of them all, and after which of them run when memory is full, so that processes of
two versions can use one store. A store that takes no library, since its memory is full or since it does not know of
functions, runs the same text as a script at each call (`Library.script`).

The script of a command, one that takes a `command`, is carried out by the library `once`, once for each idempotency
key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import orjson

from controller.store.prelude import CONSTANTS, prelude

# The scripts that run when the store's memory is full, and why: what was accepted goes on, ends, and frees memory.
RUNS_WHEN_FULL = {
    "ends something": "control_recording delete_recording delete_room emit_endings hang_up kick_all leave stop"
    " stop_session_play",
    "follows a node": "digit_pressed file_done flag_changed job_done jobs_lost leg_gone leg_joined leg_left"
    " level_changed member_joined member_left note_node overdue playback_lost recording_changed recording_ended"
    " recording_lost recording_started recording_stored recording_uploaded recordings_due recordings_known"
    " relations_lost rest_began session_answered session_ended session_file_done session_play_lost session_ringing"
    " session_transferred snapshot source_gone speak take transfer_over",
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
    " play_to_session record_room record_session session_parked sessions_found transfer",
    "changes something": "change_member change_room coach pause rotate_secret send_dtmf set_flag"
    " set_flag_of_all set_level speakers_changed uncoach volume",
    "sends once more": "redeliver redeliver_range test_endpoint",
}

LUA = Path(__file__).parent / "lua"
CORE = "core"  # the library that every script needs, before all others
ONCE = "once"  # the library that carries out the commands

# What an error message calls lines that are in no file.
PRELUDE = "prelude"

# Around the text: `make` returns the scripts' functions by their names. As a library they are made at the first call,
# since there is nothing of Lua's own while it is loaded; as a script, whose second argument names the function, at
# every call. The first line makes the server refuse keys of another hash slot than the partition's.
_LIBRARY = "#!lua name={name}\nlocal function make()\n{code}end\nlocal functions\n{registered}"
_SCRIPT = "#!lua{flags}\nlocal function make()\n{code}end\nreturn make()[ARGV[2]](KEYS[1], ARGV[1])\n"
_REGISTERED = """\
redis.register_function({{ function_name = "{name}_{version}", flags = {{ {flags} }}, callback = function(tags, texts)
  functions = functions or make()
  return functions.{name}(tags[1], texts[1])
end }})
"""
_CODE_BEGINS = 3  # the line of the text
# Of a script that runs when memory is full.
_RUNS_WHEN_FULL = "allow-oom"
_FLAGS = {
    name: flags
    for flags, table in ((f'"{_RUNS_WHEN_FULL}"', RUNS_WHEN_FULL), ("", REFUSED_WHEN_FULL))
    for names in table.values()
    for name in names.split()
}
# The first words of a statement that defines a function or a constant, or of a line that belongs to one.
_DEFINITION = re.compile(
    r"local function |function [A-Z]|local [A-Z][A-Z_, ]* =|[A-Z][A-Z_]*\.\w+ = |for \w+, \w+ in pairs\([A-Z]+\)"
    r"|--|[ })]|end|$"
)
_CONSTANT = re.compile(r"^local ([A-Z][A-Z_]+)(?: = (?:\{|$))", re.MULTILINE)
_HEAD = re.compile(r"^-- (args|needs|lists): (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_DEFINED = re.compile(r"^local (?:function (\w+)|(\w+(?:, \w+)*))", re.MULTILINE)
_LINE_IN_STORE = re.compile(r"\buser_(?:script|function):(\d+)")


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
    """What is known of a script. `required`: its `arguments` that must be given. `lists`: the fields of its reply that
    are lists. `when_full`: whether it runs when the store's memory is full.
    """

    name: str
    arguments: frozenset[str]
    required: frozenset[str]
    lists: frozenset[str]
    when_full: bool

    def check(self, given: Mapping[str, object]) -> None:
        """Raises TypeError for arguments that it does not take, or lacks. None counts as absent."""
        missing = [name for name in self.required if given.get(name) is None]
        if missing or not given.keys() <= self.arguments:
            unknown = sorted(given.keys() - self.arguments)
            raise TypeError(f"script {self.name} takes no {unknown}, and lacks {sorted(missing)}")

    def reply(self, text: bytes) -> dict[str, Any]:
        """A reply. Lua has no empty list that is not an empty object too, so a script leaves it out. Bytes in a record
        that are no UTF-8 are replaced.
        """
        try:
            found: dict[str, Any] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found = orjson.loads(text.decode(errors="replace"))
        return found if "refused" in found else {**{name: [] for name in self.lists}, **found}


@dataclass(frozen=True, slots=True)
class Library:
    """All scripts as one text, without what is around it. `parts`: at which line a part begins, its file, and at which
    line of that.
    """

    code: str
    parts: tuple[tuple[int, str, int], ...]

    @property
    def version(self) -> str:
        return hashlib.sha1(f"{_FLAGS}{self.code}".encode()).hexdigest()[:10]  # noqa: S324

    def text(self, name: str) -> str:
        """The library for the store."""
        registered = "".join(
            _REGISTERED.format(name=script, version=self.version, flags=flags) for script, flags in _FLAGS.items()
        )
        return _LIBRARY.format(name=name, code=self.code, registered=registered)

    def script(self, *, when_full: bool) -> str:
        """The same as a script, whose second argument names the function to run."""
        flags = f" flags={_RUNS_WHEN_FULL}" if when_full else ""
        return _SCRIPT.format(flags=flags, code=self.code)

    def locate(self, message: str) -> str:
        """An error message of the store, with file and line in place of the line in the text."""
        return _LINE_IN_STORE.sub(lambda found: self._place(int(found[1])), message)

    def _place(self, line: int) -> str:
        begin, file, of_file = max((part for part in self.parts if part[0] <= line), default=(1, PRELUDE, 1))
        return f"{file}:{line - begin + of_file}"


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
    files = [*libraries_of(source), source]
    if is_of_command(source):
        files += [*libraries_of(libraries()[ONCE]), libraries()[ONCE]]
    return Script(
        name=source.name,
        arguments=frozenset(argument for file in files for argument in file.arguments),
        required=frozenset(argument for file in files for argument, must in file.arguments.items() if must),
        lists=frozenset(name for file in files for name in file.lists),
        when_full=bool(_FLAGS[source.name]),
    )


@cache
def library() -> Library:
    """All scripts as the store gets them."""
    needed = libraries_of(Source(LUA / PRELUDE, "", {}, tuple(libraries()), ()))
    texts = [(PRELUDE, 1, prelude()), *_blocks(needed, sources().values())]
    parts, line = [], _CODE_BEGINS
    for file, of_file, text in texts:
        parts.append((line, file, of_file))
        line += text.count("\n")
    return Library("".join(text for _, _, text in texts), tuple(parts))


def _blocks(libraries: Sequence[Source], scripts: Iterable[Source]) -> Iterator[tuple[str, int, str]]:
    """The files in their order, with what is around them: each a file, a line of it, and a text from there on."""
    core, *others = libraries
    yield _name(core), 1, core.text
    constants = " ".join(f"freeze({name})" for name in ("STEPS", *CONSTANTS))
    yield PRELUDE, 1, f"local shared, functions = {{}}, {{}}\n{constants}\n"
    for source in others:
        shared = ", ".join(f"{name} = {name}" for name in sorted(_defined(source)))
        yield PRELUDE, 1, f"do {_taken(source)}\n"
        yield _name(source), 1, source.text
        yield PRELUDE, 1, f"shared.{source.name} = {{ {shared} }} {_frozen(source.text)} end\n"
    for source in scripts:
        definitions, body = split(source.text)
        carried_out = f"shared.{ONCE}.{ONCE}(carry_out)" if is_of_command(source) else "carry_out()"
        function = f"function functions.{source.name}(tag, text) begin(tag, text) return {carried_out} end"
        yield PRELUDE, 1, f"do {_taken(source)}\n"
        yield _name(source), 1, definitions
        yield _name(source), definitions.count("\n") + 1, f"local function carry_out() {body}"
        yield PRELUDE, 1, f"end {_frozen(definitions)}\n{function}\nend\n"
    yield PRELUDE, 1, "return functions\n"


def split(text: str) -> tuple[str, str]:
    """What a script defines, and the rest of it."""
    lines = text.splitlines(keepends=True)
    count = next((i for i, line in enumerate(lines) if not _DEFINITION.match(line)), len(lines))
    return "".join(lines[:count]), "".join(lines[count:])


def _words(code: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", _COMMENT.sub("", code)))


def _defined(source: Source) -> Set[str]:
    return {word for found in _DEFINED.findall(source.text) for word in (found[0] or found[1]).split(", ")}


def _taken(source: Source) -> str:
    """The statement by which a file gets what it uses of its libraries."""
    words = _words(source.text)
    taken = {
        name: f"shared.{library.name}.{name}"
        for library in libraries_of(source)
        if library.name != CORE
        for name in sorted(_defined(library) & words)
    }
    return f"local {', '.join(taken)} = {', '.join(taken.values())}" if taken else ""


def _frozen(text: str) -> str:
    return " ".join(f"freeze({name})" for name in _CONSTANT.findall(text))


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
