"""A dispatcher in a process of its own, for the tests that kill it: `python -m ... STORE_URL OWNER`."""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import sys

import gevent

from controller.registry import Registry
from controller.store.store import Store
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.retry import Schedule

if __name__ == "__main__":
    store = Store.connect(sys.argv[1])
    schedule = Schedule(delays=(0.05, 0.1, 0.2, 0.2, 0.2, 0.2))
    Dispatcher(store, Registry(store), owner=sys.argv[2], allow_private_networks=True, schedule=schedule).start()
    print("started", flush=True)
    gevent.wait()
