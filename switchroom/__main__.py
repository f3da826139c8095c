"""The entry point. Patches first, so that everything imported later waits in gevent's way."""

from gevent import monkey

monkey.patch_all()

from switchroom.cli.main import main

if __name__ == "__main__":
    main()
