"""What happened to the link to a node, and what comparisons have put right: the last of it, for operators to see."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TypedDict

import orjson

from controller.errors import StoreUnavailable
from controller.store import keys
from controller.store.store import Store

UP, DOWN, DRIFT = "up", "down", "drift"
# Of a comparison that finds many differences.
MAX_CHANGES = 20
MAX_TEXT = 500


class Note(TypedDict, total=False):
    """`at`: epoch ms. `what`: UP, and whether the node was `restarted` meanwhile; DOWN, with a `reason`; or DRIFT, with
    the `changes` that were made.
    """

    at: int
    what: str
    reason: str
    restarted: bool
    changes: list[str]


class NodeHistory:
    """Of the node with `prefix`. What cannot be written is left out: nothing depends on it."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._tag = keys.node_tag(prefix)

    def is_up(self, *, restarted: bool) -> None:
        self._add({"what": UP, "restarted": restarted})

    def is_down(self, reason: str) -> None:
        self._add({"what": DOWN, "reason": reason[:MAX_TEXT]})

    def drifted(self, changes: Iterable[object]) -> None:
        texts = [str(change)[:MAX_TEXT] for change in changes]
        more = [f"and {len(texts) - MAX_CHANGES} more"] if len(texts) > MAX_CHANGES else []
        self._add({"what": DRIFT, "changes": texts[:MAX_CHANGES] + more})

    def read(self) -> list[Note]:
        """The newest first. Raises StoreUnavailable."""
        found = self._store.read_back(keys.key(self._tag, "history"), "+", count=1000)
        return [
            {"at": int(position.partition("-")[0]), **orjson.loads(fields[b"note"])}  # type: ignore[typeddict-item]
            for position, fields in found
        ]

    def _add(self, note: Note) -> None:
        with suppress(StoreUnavailable):
            self._store.run("note_node", self._tag, {"note": orjson.dumps(note).decode()})
