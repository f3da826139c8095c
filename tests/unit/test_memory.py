"""When the log says that the store is nearly full."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from switchroom.memory import MemoryWatch

LIMIT = 1000 << 20


class Store:
    """A store that says what it is told to."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        self.limit = LIMIT

    def info(self, _section: str) -> dict[str, dict[str, Any]]:
        return {server: {"used_memory": used, "maxmemory": self.limit} for server, used in self.used.items()}


def told(watch: MemoryWatch) -> list[tuple[str | None, str]]:
    with capture_logs() as lines:
        watch.look()
    return [(line.get("server"), line["memory"]) for line in lines]


def test_it_is_told_once_until_there_is_room_again() -> None:
    store = Store()
    watch = MemoryWatch(store)  # type: ignore[arg-type]
    said = []
    for percent in (10, 80, 81, 99, 120, 75, 85, 69, 81):
        store.used = {"": LIMIT // 100 * percent}
        said.append(told(watch))
    once = [[], [], [(None, "81% of 1000 MiB used")], [], [], [], [], [], [(None, "81% of 1000 MiB used")]]
    assert said == once


def test_each_server_for_itself_and_none_without_a_limit() -> None:
    store = Store()
    watch = MemoryWatch(store)  # type: ignore[arg-type]
    store.used = {"a:1": LIMIT, "b:2": 0}
    assert told(watch) == [("a:1", "100% of 1000 MiB used")]
    store.used = {"a:1": LIMIT, "b:2": LIMIT}
    assert told(watch) == [("b:2", "100% of 1000 MiB used")]
    store.used, store.limit = {"c:3": LIMIT}, 0
    assert told(watch) == []
