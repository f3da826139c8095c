"""The test process is an entry point of its own: patched before pytest loads its other plugins (`-p` in setup.cfg)."""

from gevent import monkey

monkey.patch_all()
