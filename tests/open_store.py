"""A store whose client tests may use: to see what is there, and to bring about what no step would."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from controller.store.store import Store
from switchroom.config import Config
from switchroom.store import open_store


class OpenStore(Store):
    client: Any

    def __init__(self, client: Any, timeout: float = 1.0) -> None:
        super().__init__(client, timeout)
        self.client = client


@contextmanager
def opened(config: Config) -> Iterator[OpenStore]:
    """The configured store."""
    with open_store(config) as (_, url), closing(OpenStore.connect(url)) as store:
        yield store
