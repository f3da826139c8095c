"""What a room on three nodes costs, beside the same room on one.

    python -m tests.benchmarks.bench_span [--members 300] [--sending 300] [--frame 20] [--rounds 5] [--seconds 10]

Needs a real FreeSWITCH (on PATH, or FREESWITCH_BIN) and SIPp. Every member sends sound all the time, or as many as
`--sending` says: the rest send nothing, as phones that suppress silence do, and get packets of `--frame` milliseconds. A
few are not muted. The nodes are processes of this machine, at addresses of their own; so are SIPp, Switchroom and one
listener for each node, who tells how many packets came, and how late. A row is the round in which least else ran on the
machine.

The last two rooms tell what it takes to mix one more member who speaks, which is what a leg is to the source.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import argparse
import itertools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent.pool import Pool

from tests.e2e.freeswitch import FreeSwitch, find_binary
from tests.e2e.nodes import SCENARIO
from tests.e2e.phone import FRAME, RATE, Phone, coded_tone, level
from tests.e2e.site import ADDRESSES, CONFERENCES
from tests.e2e.system import DIDS, Receiver, Switchroom, resident

SPEAKERS = 5
TONES = (300.0, 400.0, 500.0)  # Hz: of each node's callers
AUDIBLE = -40.0  # dB
CALLS_PER_SECOND = "20"
SOUND = re.compile("<nop>.*rtp_stream.*</nop>")
TICKS = os.sysconf("SC_CLK_TCK")
PACKETS_PER_SECOND = RATE / FRAME
LATE_SECONDS = 0.06  # since the packet before: two packets late
PATIENCE = 60.0


@dataclass(frozen=True)
class Layout:
    title: str
    nodes: int
    members: int
    speakers: int
    sending: int
    frame: int


@dataclass(frozen=True)
class Round:
    """CPU times are in seconds a minute."""

    nodes: list[float]
    # Of the busiest thread of each, which is the one that mixes the room.
    mixers: list[float]
    callers: float
    # Of all other processes of the machine, the listeners and Switchroom among them.
    others: float
    # Of what should have come to the listeners.
    lost_percent: float
    late_percent: float


def cpu(pid: int) -> float:
    """Seconds of a process."""
    return _ticks(Path(f"/proc/{pid}/stat")) / TICKS


def _ticks(stat: Path) -> int:
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return int(user) + int(system)


def threads_cpu(pid: int) -> dict[int, float]:
    """Seconds of each thread."""
    found = {}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # it has just ended
            found[int(thread.name)] = _ticks(thread / "stat") / TICKS
    return found


def machine_cpu() -> float:
    """Seconds that the machine was busy."""
    user, nice, system, _, _, irq, softirq, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(map(int, (user, nice, system, irq, softirq))) / TICKS


class Room:
    """Up with all its members when the constructor returns."""

    def __init__(self, stack: ExitStack, binary: str, layout: Layout) -> None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.nodes: dict[str, FreeSwitch] = {}
        for prefix, address in itertools.islice(ADDRESSES.items(), layout.nodes):
            home = folder / prefix
            node = FreeSwitch(home, binary, address=address, PREFIX=prefix, RTP_START="20000", RTP_END="22000")
            stack.callback(node.stop)
            self.nodes[prefix] = node
        self.idle = self.memory()
        self.hooks = Receiver()
        stack.callback(self.hooks.close)
        self.switchroom = Switchroom(folder, self.nodes, self.hooks.url)
        self.switchroom.start()
        stack.callback(self.switchroom.close)
        for prefix in self.nodes:
            self.switchroom.wait_up(prefix)
        self.room = self.switchroom.post(CONFERENCES, {"name": "bench"}).body["room_id"]
        self.callers: list[subprocess.Popen[bytes]] = []
        for number, node in enumerate(self.nodes.values()):
            callers, sending = layout.members // layout.nodes - 1, layout.sending // layout.nodes - 1
            (folder / f"{number}.ulaw").write_bytes(coded_tone(TONES[number], -30.0))
            scenario = (
                SCENARIO.read_text().replace("[audio]", str(folder / f"{number}.ulaw")).replace("[headers]\n", "")
            )
            self._call(stack, folder, f"{number}-sending", scenario, node, sending)
            silent = SOUND.sub("", scenario).replace("a=ptime:20", f"a=ptime:{layout.frame}")
            self._call(stack, folder, f"{number}-silent", silent, node, callers - sending)
        self.listeners: list[Phone] = []
        for number, node in enumerate(self.nodes.values()):
            self.listeners.append(Phone(node.sip, DIDS["alpha"], f"listener-{number}"))
            stack.callback(self.listeners[-1].hang_up)
        self._join(layout)

    def _call(self, stack: ExitStack, folder: Path, name: str, scenario: str, node: FreeSwitch, count: int) -> None:
        if not count:
            return
        (folder / f"{name}.xml").write_text(scenario)
        process = subprocess.Popen(
            [
                "sipp", node.sip, "-sf", f"{name}.xml", "-m", str(count), "-l", str(count), "-r", CALLS_PER_SECOND,
                "-nostdin", "-i", "127.0.0.1", "-mi", "127.0.0.1",
                "-key", "did", DIDS["alpha"], "-key", "caller", f"caller-{name}",
            ],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.callers.append(process)
        stack.callback(process.wait)
        stack.callback(process.kill)

    def _join(self, layout: Layout) -> None:
        sessions: list[str] = []
        with gevent.Timeout(PATIENCE, AssertionError("the calls do not come")):
            while len(sessions) < layout.members:
                gevent.sleep(0.2)
                started = [hook for hook in self.hooks.received if hook["type"] == "session.started"]
                sessions = [hook["data"]["uuid"] for hook in started]
        audible = [hook["data"]["uuid"] for hook in started if "sending" in hook["data"]["caller_id"]]
        speakers = audible[:: max(1, len(audible) // layout.speakers)][: layout.speakers]

        def join(session: str) -> None:
            command = f"/api/v1/sessions/{session}/commands/conference"
            answer = self.switchroom.post(f"{command}/join", {"room_id": self.room})
            assert answer.status == 202, answer
            self.hooks.wait("conference.member.joined", PATIENCE, uuid=session)
            if session in speakers:
                assert self.switchroom.post(f"{command}/unmute").status == 202
                self.hooks.wait("conference.member.unmuted", PATIENCE, uuid=session)

        Pool(8).map(join, sessions)

    @property
    def legs(self) -> int:
        answer = self.switchroom.get(f"{CONFERENCES}/{self.room}")
        assert answer.status == 200, answer
        nodes = answer.body["nodes"]
        return sum(node["bridge"] == "connected" for node in nodes)

    def memory(self) -> list[int]:
        """Resident bytes of each node."""
        return [resident(node.pid) for node in self.nodes.values()]

    def check(self) -> None:
        """That all listeners hear somebody. Raises AssertionError."""
        for listener in self.listeners:
            heard = listener.hear(0.5)
            assert max(level(heard, tone) for tone in TONES) > AUDIBLE

    def measure(self, seconds: float) -> Round:
        pids = [node.pid for node in self.nodes.values()]
        callers = [process.pid for process in self.callers]
        since = [len(listener.packets) for listener in self.listeners]
        threads = [threads_cpu(pid) for pid in pids]
        before, machine = [cpu(pid) for pid in pids], machine_cpu()
        callers_before = sum(map(cpu, callers))
        gevent.sleep(seconds)
        minute = 60 / seconds
        nodes = [(cpu(pid) - was) * minute for pid, was in zip(pids, before, strict=True)]
        mixers = []
        for pid, was in zip(pids, threads, strict=True):
            mixers.append(max(now - was.get(thread, now) for thread, now in threads_cpu(pid).items()) * minute)
        calling = (sum(map(cpu, callers)) - callers_before) * minute
        others = (machine_cpu() - machine) * minute - sum(nodes) - calling
        due = len(self.listeners) * seconds * PACKETS_PER_SECOND
        came = late = 0
        for listener, start in zip(self.listeners, since, strict=True):
            times = [at for at, _ in listener.packets[start:]]
            came += len(times)
            late += sum(after - at > LATE_SECONDS for at, after in itertools.pairwise(times))
        return Round(nodes, mixers, calling, others, max(0.0, 100 - 100 * came / due), 100 * late / due)


def shown(values: list[float]) -> str:
    return " + ".join(f"{value:.1f}" for value in values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=300)
    parser.add_argument("--sending", type=int)
    parser.add_argument("--frame", type=int, choices=(20, 40, 60), default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    binary = find_binary()
    if not binary:
        sys.exit("no FreeSWITCH: put it on PATH, or name it in FREESWITCH_BIN")
    if not shutil.which("sipp"):
        sys.exit("no sipp on the PATH (Debian and Ubuntu: apt install sip-tester)")
    sending = options.sending or options.members
    few = sending // 3
    for layout in (
        Layout("on one node", 1, options.members, SPEAKERS, sending, options.frame),
        Layout("on three nodes", 3, options.members, SPEAKERS, sending, options.frame),
        Layout("on one node", 1, few, SPEAKERS, few, options.frame),
        Layout("on one node", 1, few, few, few, options.frame),
    ):
        with ExitStack() as stack:
            room = Room(stack, binary, layout)
            room.check()
            rounds = [room.measure(options.seconds) for _ in range(options.rounds)]
            quiet = min(rounds, key=lambda one: one.others)
            print(
                f"{layout.members} members {layout.title}, {layout.sending} of them send sound,"
                f" {layout.speakers} are not muted, {room.legs} legs"
            )
            grown = [(now - idle) / 2**20 for now, idle in zip(room.memory(), room.idle, strict=True)]
            print(f"  CPU seconds a minute of nodes  {shown(quiet.nodes)} = {sum(quiet.nodes):.1f}")
            print(f"  of their busiest threads       {shown(quiet.mixers)}")
            print(f"  of nodes, in all rounds         {', '.join(f'{sum(one.nodes):.1f}' for one in rounds)}")
            print(f"  SIPp, and everything else      {quiet.callers:.1f}, {quiet.others:.1f}")
            print(f"  MiB of memory of nodes         {shown([each / 2**20 for each in room.memory()])}")
            print(f"  more than before the calls     {shown(grown)} = {sum(grown):.1f}")
            print(
                f"  packets lost, late             {quiet.lost_percent:.2f} %, {quiet.late_percent:.2f} %", flush=True
            )


if __name__ == "__main__":
    main()
