"""A public internet of one other host, in network namespaces that lead nowhere else. Run as a program within a new one, it
fetches every URL that its arguments name, and prints what became of each, and how many connections came to this host.

The other host is 8.8.8.8. It redirects `/to?URL` there, and has a file at every other path. This host is 9.9.9.9, and
whatever else may be behind a private address.
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import io
import json
import subprocess
import sys
from socket import AF_INET6
from typing import Any
from urllib.parse import unquote

from gevent import socket
from gevent.server import StreamServer

from controller.media.origin import FetchLimits, Origin
from controller.media.reasons import AudioFailed
from controller.outbound.network import Network
from tests.integration.file_server import redirect, response

NAMES = {"public.example": ["8.8.8.8"], "inside.example": ["10.0.0.1"], "both.example": ["10.0.0.1", "8.8.8.8"]}
REBINDING = "rebinding.example"  # another address each time that it is looked up


def run(*commands: str) -> None:
    for command in commands:
        subprocess.run(command.split(), check=True)


def other_host() -> None:
    print("here", flush=True)
    sys.stdin.readline()
    run("ip link set lo up", "ip address add 8.8.8.8/32 dev far", "ip link set far up", "ip route add 9.9.9.9 dev far")

    def serve(sock: Any, address: object) -> None:
        path = sock.recv(65536).split()[1].decode()
        sock.sendall(redirect(unquote(path[4:])) if path.startswith("/to?") else response(body=b"sound"))

    server = StreamServer(("8.8.8.8", 80), serve)
    server.start()
    print("ready", flush=True)
    server.serve_forever()


def this_host(urls: list[str]) -> None:
    run("ip link set lo up", "ip link add near type veth peer name far")
    command = ["unshare", "--net", sys.executable, "-m", __spec__.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        run(f"ip link set far netns {other.pid}", "ip address add 9.9.9.9/32 dev near", "ip link set near up")
        run("ip route add 8.8.8.8 dev near")
        run(
            *[
                f"ip address add {address} dev lo"
                for address in ("10.0.0.1/32", "169.254.169.254/32", "fd00:ec2::254/128")
            ]
        )
        other.stdin.write("\n")
        other.stdin.flush()
        other.stdout.readline()
        print(json.dumps(fetch_all(urls)))
        other.kill()


def fetch_all(urls: list[str]) -> dict[str, Any]:
    connections = 0

    def count(sock: Any, address: object) -> None:
        nonlocal connections
        connections += 1
        sock.sendall(response(body=b"secret"))

    listener = socket.socket(AF_INET6)
    listener.bind(("::", 80))  # IPv4, too
    listener.listen()
    server = StreamServer(listener, count)
    server.start()
    with socket.create_connection(("169.254.169.254", 80)) as sock:
        assert sock.recv(100).endswith(b"secret")
    connections = 0
    numeric = monkey.get_original("socket", "getaddrinfo")  # the blocking one: it runs in a thread
    turns = iter([["8.8.8.8"], ["127.0.0.1"]] * len(urls))

    def resolve(host: str, port: int) -> list[str]:
        if host == REBINDING:
            return next(turns)
        return NAMES.get(host) or [str(info[4][0]) for info in numeric(host, port, flags=socket.AI_NUMERICHOST)]

    origin = Origin(Network(resolve=resolve), FetchLimits(seconds=5))
    became = {}
    for url in urls:
        into = io.BytesIO()
        try:
            origin.fetch("app", url, into)
            became[url] = into.getvalue().decode()
        except AudioFailed as failed:
            became[url] = failed.reason
    return {"became": became, "connections": connections}


if __name__ == "__main__":
    this_host(sys.argv[1:]) if sys.argv[1:] else other_host()
