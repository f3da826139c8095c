"""The store that the configuration names: waited for, opened and closed, the embedded one started first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

import gevent
import structlog

from controller.errors import StoreUnavailable
from controller.store.store import Store
from switchroom.config import Config
from switchroom.embedded import EmbeddedStore, EmbeddedStoreError

T = TypeVar("T")

log = structlog.get_logger(__name__)

# How long a store that is just starting is waited for, and how often it is tried.
STORE_SECONDS = 10.0
RETRY_SECONDS = 0.25
# For clients whose reads wait in the store for something to come; longer than any of those reads.
READER_TIMEOUT = 10.0


@contextmanager
def open_store(config: Config, *, create: bool = True) -> Iterator[tuple[Store, str]]:
    """The configured store and its URL; the embedded one runs as long as anybody has it open.

    `create`: whether to create an embedded store that does not exist. Raises EmbeddedStoreError, StoreUnavailable.
    """
    with ExitStack() as stack:
        if config.store.url is None:
            embedded = EmbeddedStore(config.store.data_dir, config.store.max_memory_mb << 20)
            if not create and not embedded.exists:
                raise EmbeddedStoreError(
                    f"there is no store in {embedded.data_dir}: `switchroom serve`, `app add`, `node add` and"
                    " `operator add` create it. If it is elsewhere, name the configuration file by --config"
                )
            embedded.start()
            stack.callback(embedded.stop)
            url = embedded.url
        else:
            url = config.store.url.get_secret_value()
        store = _connect(config, url)
        stack.callback(store.close)
        yield store, url


@contextmanager
def open_reader(config: Config, url: str) -> Iterator[Store]:
    """A store for reads that wait, so that they neither block nor are cut off by anything else."""
    reader = Store.connect(url, cluster=config.store.cluster, timeout=READER_TIMEOUT)
    try:
        yield reader
    finally:
        reader.close()


def patiently(ask: Callable[[], T], **about: str) -> T:
    """What `ask` returns, which can be asked again. At a start the store may be late for a while: so is everything else
    that starts on a busy machine. `about`: for the log. Raises StoreUnavailable after STORE_SECONDS.
    """
    deadline = time.monotonic() + STORE_SECONDS
    is_waiting = False
    while True:
        try:
            return ask()
        except StoreUnavailable as error:
            if time.monotonic() >= deadline:
                raise
            if not is_waiting:
                log.warning("waiting for the store", **about, reason=str(error))
                is_waiting = True
            gevent.sleep(RETRY_SECONDS)


def _connect(config: Config, url: str) -> Store:
    def connect() -> Store:
        try:
            store = Store.connect(url, cluster=config.store.cluster)
        except OSError as error:
            raise StoreUnavailable(str(error)) from error
        store.ping()
        return store

    try:
        return patiently(connect, store=config.store.shown_url)
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"no store at {config.store.shown_url} ({error}); start it, or set [store] url"
        ) from error
