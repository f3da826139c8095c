"""A store whose client tests may use: to see what is there, and to bring about what no step would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, cast

from controller.store.store import Store
from switchroom.config import Config
from switchroom.store import open_store

PATIENCE = 30.0  # seconds


class OpenStore(Store):
    """One that waits for long: it may be late on a busy machine, and tests ask but once."""

    client: Any

    def __init__(self, client: Any, timeout: float = PATIENCE) -> None:
        super().__init__(client, timeout)
        self.client = client

    @classmethod
    def connect(cls, url: str, *, cluster: bool = False, timeout: float = PATIENCE, connections: int = 64) -> OpenStore:
        return cast(OpenStore, super().connect(url, cluster=cluster, timeout=timeout, connections=connections))

    @property
    def is_asked(self) -> bool:
        """Whether anybody waits for a response of it. Not of a cluster."""
        return self._connections.are_used


@contextmanager
def opened(config: Config) -> Iterator[OpenStore]:
    """The configured store."""
    with open_store(config) as (_, url), closing(OpenStore.connect(url)) as store:
        yield store
