"""The process beside the browser tests."""

from gevent import monkey

monkey.patch_all()

from tests.browser.world import main

main()
