"""The entry point. Patches first, so that everything imported later waits in gevent's way."""

from gevent import monkey

monkey.patch_all()

from controller.bootstrap import Api, ApiOptions
from controller.cli import run
from controller.service import Controller


def api(controller: Controller, options: ApiOptions) -> Api:
    # Here and not above: most commands never need it, and half of their start would be spent on it.
    from web.app import WebSettings, create_app  # noqa: PLC0415
    from web.server import Server  # noqa: PLC0415

    settings = WebSettings(cursor_key=options.cursor_key)
    app = create_app(controller, settings=settings)
    return Server(app, options.host, options.port, body_limit=app.body_limit)


def main() -> None:
    run(api)


if __name__ == "__main__":
    main()
