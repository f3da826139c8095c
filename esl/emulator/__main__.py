"""Run one emulated node by hand: `python -m esl.emulator --port 8021 --password ClueCon --call 747713001:527121102`."""

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
    parser.add_argument("--port", type=int, default=8021, help="of the Event Socket; 0 for any free one")
    parser.add_argument("--sip-port", type=int, default=5060, help="where other emulated nodes call this one")
    parser.add_argument("--password", required=True)
    parser.add_argument("--profile", default="default", help="name of the conference profile it knows")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times as fast as real time")
    parser.add_argument(
        "--call", action="append", default=[], metavar="DID:CALLER", help="a call that comes in at the start"
    )
    return parser.parse_args()


def main() -> None:
    given = arguments()
    node = Emulator(
        password=given.password,
        host=given.host,
        port=given.port,
        clock=Clock(given.speed),
        profile=given.profile,
        sip_port=given.sip_port,
    )
    node.start()
    print("Event Socket on {}:{}".format(*node.address), flush=True)
    for call in given.call:
        number, _, caller = call.partition(":")
        channel = node.call(to=number, caller_id_number=caller or "anonymous")
        print(f"call {channel.uuid} from {caller or 'anonymous'} to {number}", flush=True)
    done = Flag()
    for number_of_signal in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number_of_signal, done.set)
    done.wait()
    node.stop()


if __name__ == "__main__":
    main()
