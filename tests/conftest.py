"""The test process is an entry point of its own: patched before anything else is imported."""

from gevent import monkey

monkey.patch_all()
