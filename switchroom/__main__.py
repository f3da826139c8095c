"""The entry point. Patches first, so that everything imported later waits in gevent's way."""

from gevent import monkey

monkey.patch_all()

from controller.controller import Controller
from switchroom.cli import run
from switchroom.processes import Api, ApiOptions


def api(controller: Controller, options: ApiOptions) -> Api:
    # Here and not above: most commands never need it, and half of their start would be spent on it.
    from web.app import WebSettings, create_app  # noqa: PLC0415
    from web.clients import Proxies  # noqa: PLC0415
    from web.server import Bounds, Server  # noqa: PLC0415

    app = create_app(controller, settings=WebSettings(cursor_key=options.cursor_key))
    bounds = Bounds(connections=options.connections, per_address=options.connections_per_address)
    proxies = Proxies(options.trusted_proxies)
    return Server(app, options.host, options.port, body_limit=app.body_limit, bounds=bounds, proxies=proxies)


def main() -> None:
    run(api)


if __name__ == "__main__":
    main()
