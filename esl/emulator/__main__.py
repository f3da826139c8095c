"""Run emulated nodes by hand: `python -m esl.emulator --port 8021 --password ClueCon --call 747713001:527121102`.

With `--port` given again, more nodes run, and reach each other: those of other processes they do not reach.
"""

from gevent import monkey

monkey.patch_all()

import argparse
import signal

import gevent
from gevent.event import Event as Flag

from esl.emulator.clock import Clock
from esl.emulator.emulator import Emulator


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m esl.emulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, action="append", help="of a node's Event Socket (8021); 0 for any free one")
    parser.add_argument("--password", required=True)
    parser.add_argument("--profile", default="default", help="name of the conference profile it knows")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast as real time")
    parser.add_argument(
        "--call", action="append", default=[], metavar="DID:CALLER", help="a call to the first node, at the start"
    )
    return parser.parse_args()


def main() -> None:
    given = arguments()
    nodes = [
        Emulator(given.password, given.host, port, Clock(given.speed), profile=given.profile)
        for port in given.port or [8021]
    ]
    for node in nodes:
        node.start()
        print("Event Socket on {}:{},".format(*node.address), f"legs at {node.bridge}", flush=True)
    for call in given.call:
        number, _, caller = call.partition(":")
        channel = nodes[0].call(to=number, caller_id_number=caller or "anonymous")
        print(f"call {channel.uuid} from {caller or 'anonymous'} to {number}", flush=True)
    done = Flag()
    for number_of_signal in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number_of_signal, done.set)
    done.wait()
    for node in nodes:
        node.stop()


if __name__ == "__main__":
    main()
