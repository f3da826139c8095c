"""Event Socket throughput: this project's Connection against the library it is built on, greenswitch, and libesl.

    python -m tests.benchmarks.bench_esl [--rounds 7] [--events 20000] [--minimum 0]

libesl is FreeSWITCH's own client library, in C, with its Python binding. No package index has it: it takes part where its
module `ESL` can be imported (build it from FreeSWITCH's `libs/esl`, and name its folder in PYTHONPATH).

All read the same recorded stream (the events of the contract traces, repeated) over a TCP socket from a
node in a process of its own, and look up the same headers, those that the controller reads. Counted is the CPU time of this
process, so neither the sender nor waiting counts. Rounds alternate, and the best of each side counts: whatever else the
machine does only ever adds to them. Exits with 1 if the ratio to greenswitch is below `--minimum`.
"""

import argparse
import gc
import importlib.util
import json
import multiprocessing
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from gevent.event import AsyncResult

from tests.benchmarks.figures import note

TRACES = Path(__file__).parents[1] / "contract" / "traces"
# What a controller reads of each kind of event, as `controller.nodes.translate` does; of any other kind only what kind it is.
MEMBER = ("Channel-Name", "Conference-Name", "Member-ID", "Unique-ID")
HEADERS = {
    "CHANNEL_CREATE": ("variable_sip_replaces_call_id", "Caller-Dialplan"),
    "CHANNEL_PROGRESS": ("Call-Direction",),
    "CHANNEL_PARK": (
        *("variable_sip_replaces_call_id", "Call-Direction", "Channel-Name", "Unique-ID"),
        *("Caller-Destination-Number", "Caller-Caller-ID-Number"),
    ),
    "CHANNEL_HANGUP_COMPLETE": ("Channel-Name", "Unique-ID", "Hangup-Cause"),
    "DTMF": ("DTMF-Digit", "DTMF-Duration", "Event-Sequence", "Channel-Name", "Unique-ID"),
    "BACKGROUND_JOB": ("Job-UUID", "Job-Command", "Job-Command-Arg"),
    "add-member": (*MEMBER, "Call-Direction", "Speak", "Hear", "Hold"),
    "del-member": (*MEMBER, "Hangup-Cause"),
    **dict.fromkeys(("mute-member", "unmute-member", "deaf-member", "undeaf-member"), MEMBER),
    **dict.fromkeys(("hold-member", "unhold-member", "start-talking", "stop-talking"), MEMBER),
    **dict.fromkeys(("volume-in-member", "volume-out-member"), (*MEMBER, "Volume-Level")),
    "play-file-done": ("File", "Conference-Name"),
}
EVENT_HEAD = re.compile(r"Content-Length: \d+\nContent-Type: text/event-plain\n\n")
PASSWORD = "ClueCon"
PATIENCE = 300.0


def recorded_events() -> list[bytes]:
    """The text/event-plain frames of the traces, whole, in their order.

    Without the trace of a caller who forges headers: greenswitch believes the forgery, which leaves nothing
    to compare.
    """
    found = []
    for path in sorted(set(TRACES.glob("*.jsonl")) - set(TRACES.glob("*forge*.jsonl"))):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry.get("dir") == "recv" and EVENT_HEAD.match(entry["raw"]):
                found.append(entry["raw"].encode())
    return found


def stream(events: int) -> Iterator[bytes]:
    """Chunks of `events` events in all."""
    recorded = recorded_events()
    whole = b"".join(recorded)
    for _ in range(events // len(recorded)):
        yield whole
    yield b"".join(recorded[: events % len(recorded)])


def node(pipe: Pipe, events: int) -> None:
    """A node that accepts any password and, asked for events, sends the stream."""
    listener = socket.create_server(("127.0.0.1", 0))
    pipe.send(listener.getsockname()[1])
    chunks = list(stream(events))
    while True:
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            client.sendall(b"Content-Type: auth/request\n\n")
            for line in lines:
                if line.startswith(b"auth "):
                    client.sendall(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
                elif line.startswith(b"event "):
                    client.sendall(b"Content-Type: command/reply\nReply-Text: +OK event listener enabled\n\n")
                    for chunk in chunks:
                        client.sendall(chunk)
                elif line.startswith(b"exit"):
                    client.sendall(b"Content-Type: command/reply\nReply-Text: +OK bye\n\n")
                    break


def read_headers(get: Callable[[str], str | None]) -> list[str | None]:
    name = get("Event-Name")
    kind = get("Action") if name == "CUSTOM" else name
    return [name, kind, *(get(header) for header in HEADERS.get(kind or "", ()))]


class Tally:
    """Reads the headers of each event, and tells when all events were there."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.events = 0
        self.full: AsyncResult[None] = AsyncResult()

    def read(self, get: Callable[[str], str | None]) -> None:
        read_headers(get)
        self.events += 1
        if self.events == self.expected:
            self.full.set(None)


class Record(Tally):
    """Keeps what was read, too."""

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.values: list[list[str | None]] = []

    def read(self, get: Callable[[str], str | None]) -> None:
        self.values.append(read_headers(get))
        super().read(get)


def greenswitch_reads(port: int, tally: Tally) -> float:
    """CPU seconds that stock greenswitch takes."""
    from greenswitch.esl import ESLEvent, InboundESL

    def handler(event: ESLEvent) -> None:
        tally.read(event.headers.get)

    connection = InboundESL("127.0.0.1", port, PASSWORD)
    connection.register_handle("*", handler)
    connection.connect()
    gc.collect()
    started = time.process_time()
    connection.send("event plain ALL")
    tally.full.get(timeout=PATIENCE)
    spent = time.process_time() - started
    connection.stop()
    return spent


def switchroom_reads(port: int, tally: Tally) -> float:
    """CPU seconds that this project takes."""
    from esl.connection import Connection
    from esl.event import Event

    def handler(event: Event) -> None:
        tally.read(event.get)

    connection = Connection("127.0.0.1", port, PASSWORD, on_event=handler)
    connection.connect()
    gc.collect()
    started = time.process_time()
    connection.send("event plain ALL")
    tally.full.get(timeout=PATIENCE)
    spent = time.process_time() - started
    connection.close()
    return spent


def libesl_reads(port: int, tally: Tally) -> float:
    """CPU seconds that libesl takes. Its waiting is in C, so no greenlet runs beside it, and none has to."""
    import ESL

    connection = ESL.ESLconnection("127.0.0.1", str(port), PASSWORD)
    gc.collect()
    started = time.process_time()
    connection.events("plain", "ALL")
    while not tally.full.ready():
        event = connection.recvEvent()
        assert event, "libesl lost its connection"
        tally.read(event.getHeader)
    spent = time.process_time() - started
    connection.disconnect()
    return spent


SIDES: dict[str, Callable[[int, Tally], float]] = {
    "greenswitch": greenswitch_reads,
    "switchroom": switchroom_reads,
}
if importlib.util.find_spec("ESL"):
    SIDES["libesl"] = libesl_reads


def same_values(port: int, events: int) -> None:
    """Untimed: all sides must read the same values from the same events, in the same order."""
    records = [Record(events) for _ in SIDES]
    for record, reads in zip(records, SIDES.values(), strict=True):
        reads(port, record)
    for number, values in enumerate(zip(*(record.values for record in records), strict=True)):
        assert all(value == values[0] for value in values), f"event {number} was read as {values}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--minimum", type=float, default=0.0, help="fail below this ratio")
    options = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=node, args=(theirs, options.events), daemon=True)
    process.start()
    port = ours.recv()

    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    try:
        same_values(port, options.events)
        for round_ in range(1, options.rounds + 1):
            for side, reads in SIDES.items():
                tally = Tally(options.events)
                rates[side].append(options.events / reads(port, tally))
                assert tally.events == options.events, f"{side} saw {tally.events} events"
            print(f"round {round_}: " + "  ".join(f"{side} {rates[side][-1]:>9,.0f}" for side in SIDES))
    finally:
        process.terminate()

    size = sum(map(len, recorded_events())) / len(recorded_events())
    best = {side: max(rates[side]) for side in SIDES}
    ratios = {side: best["switchroom"] / rate for side, rate in best.items() if side != "switchroom"}
    print(f"\n{options.events:,} events of {size:,.0f} bytes on average")
    for side in SIDES:
        print(f"{side:<12}{best[side]:>10,.0f} events per CPU second")
    for side, ratio in ratios.items():
        print(f"switchroom / {side:<12}{ratio:>6.1f}")
        note(f"events a CPU second, beside {side}", best["switchroom"], "", beside=best[side], more_is_better=True)
    if "libesl" not in SIDES:
        print("libesl is left out: it cannot be imported")
    return 0 if ratios["greenswitch"] >= options.minimum else 1


if __name__ == "__main__":
    sys.exit(main())
