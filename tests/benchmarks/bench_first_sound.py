"""From the request to play until a caller hears the first of it: by the audio relay, and by a node that fetches itself.

    python -m tests.benchmarks.bench_first_sound [--rounds 20]

Needs a real FreeSWITCH (on PATH, or FREESWITCH_BIN). Two nodes and two Switchrooms, one of them with `[playback]
direct = true`, take turns in one run. Each file is played cold (a URL that nobody has seen) and then once more. The end
is the arrival of the first RTP packet with the tone in it; packets come every 20 ms, so each figure is that coarse.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import gevent
import numpy as np
import soundfile
from gevent.pywsgi import WSGIServer

from controller.limits import COOLDOWNS
from tests.e2e.freeswitch import FreeSwitch, find_binary
from tests.e2e.phone import Phone, decoded, level
from tests.e2e.system import DIDS, PREFIX, Receiver, Switchroom

HERTZ = 1000.0
AUDIBLE = -25.0
SHORT = "0.2 s wav"
PAUSES = ", pauses"  # a fifth of a second in every two
# name: seconds, samples a second, channels, kind
FILES: dict[str, tuple[float, int, int, str]] = {
    SHORT: (0.2, 8000, 1, "wav"),"1 s wav": (1, 8000, 1, "wav"), "60 s wav": (60, 8000, 1, "wav"), "60 s wav, 44.1 kHz stereo": (60, 44100, 2, "wav"),
         "60 s mp3, 44.1 kHz stereo": (60, 44100, 2, "mp3"),
         "60 s wav, 44.1 kHz stereo" + PAUSES: (60, 44100, 2, "wav"), "60 s mp3, 44.1 kHz stereo" + PAUSES: (60, 44100, 2, "mp3")}  # fmt: skip


class Listener(Phone):
    def longest_gap(self) -> int:
        """Milliseconds of silence between the first and the last sound of what was heard since `packets` was emptied."""
        loud = [level(decoded(packet), HERTZ) > AUDIBLE for _, packet in self.packets if len(packet) == 160]
        within = "".join(".#"[each] for each in loud).strip(".")
        return max(map(len, within.split("#"))) * 20


class Side:
    """A node, a Switchroom, a room and a caller in it."""

    def __init__(self, folder: Path, stack: ExitStack, binary: str, *, direct: bool) -> None:
        folder.mkdir()
        node = FreeSwitch(folder / "node", binary, direct="/etc/ssl/certs/ca-certificates.crt" if direct else "")
        stack.callback(node.stop)
        hooks = Receiver()
        stack.callback(hooks.close)
        (folder / "switchroom").mkdir()
        self.switchroom = Switchroom(folder / "switchroom", {PREFIX: node}, hooks.url, direct=direct)
        self.switchroom.start()
        stack.callback(self.switchroom.close)
        self.switchroom.wait_up()
        self.phone = Listener(node.sip, DIDS["alpha"], "5271000")
        stack.callback(self.phone.hang_up)
        session = hooks.wait("session.started")["uuid"]
        self.room = self.switchroom.post("/api/v1/conferences", {"name": "bench"}).body["room_id"]
        self.switchroom.post(f"/api/v1/sessions/{session}/commands/conference/join", {"room_id": self.room})
        hooks.wait("conference.member.joined")
        self.hooks = hooks

    def play(self, url: str) -> float:
        path = f"/api/v1/conferences/{self.room}"
        started = time.monotonic()
        operation = self.switchroom.post(f"{path}/play", {"urls": [url]}).body["operation_id"]
        heard = self.phone.first_sound(HERTZ, started)
        self.switchroom.post(f"{path}/stop")
        self.hooks.wait("conference.play.stopped", operation_id=operation)
        gevent.sleep(COOLDOWNS["conf_play"] / 1000 + 0.2)
        return heard

    def play_all(self, urls: list[str]) -> None:
        """To their end."""
        self.phone.packets.clear()
        operation = self.switchroom.post(f"/api/v1/conferences/{self.room}/play", {"urls": urls}).body["operation_id"]
        end = self.hooks.wait("conference.play.finished", timeout=120, operation_id=operation)
        assert end["status"] == "completed", end
        gevent.sleep(COOLDOWNS["conf_play"] / 1000)


def serve(folder: Path) -> None:
    """The origin, in a process of its own. Prints its port."""
    contents = {file.name: file.read_bytes() for file in folder.iterdir()}

    def app(environ, start_response):  # type: ignore[no-untyped-def]
        body = contents[environ["PATH_INFO"].strip("/")]
        kind = "audio/mpeg" if environ["PATH_INFO"].endswith("mp3") else "audio/wav"
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
        return [body]

    server = WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()


def make(folder: Path) -> dict[str, str]:
    names = {}
    for number, (name, (seconds, rate, channels, kind)) in enumerate(FILES.items()):
        path = folder / f"{number}.{kind}"
        tone = 0.244 * np.sin(2 * np.pi * HERTZ * np.arange(int(seconds * rate)) / rate)
        if name.endswith(PAUSES):
            tone[np.arange(len(tone)) % (2 * rate) >= int(1.8 * rate)] = 0
        samples = np.repeat(tone[:, None], channels, 1)
        with soundfile.SoundFile(path, "w", rate, channels, format=kind.upper()) as file:
            for start in range(0, len(samples), 4096):
                file.write(samples[start : start + 4096])
        names[name] = path.name
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    binary = find_binary()
    if not binary:
        sys.exit("no FreeSWITCH: put it on PATH, or name it in FREESWITCH_BIN")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "files").mkdir()
        names = make(folder / "files")
        origin = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.bench_first_sound", "--serve", str(folder / "files")],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.callback(origin.kill)
        assert origin.stdout
        base = f"http://127.0.0.1:{int(origin.stdout.readline())}"
        sides = {
            "relay": Side(folder / "relay", stack, binary, direct=False),
            "direct": Side(folder / "direct", stack, binary, direct=True),
        }
        for side in sides.values():
            side.play(f"{base}/{names['1 s wav']}?warm-up")
        print(f"{'ms from the request to the first sound':44} {'relay':>16} {'direct':>16} {'difference':>11}")
        print(f"{'':44} {'p50   (mean)':>16} {'p50   (mean)':>16} {'of means':>11}")
        for name in list(names)[1:]:
            file = names[name]
            found: dict[tuple[str, str], list[float]] = {}
            for number in range(options.rounds):
                for temperature in ("cold", "cached"):
                    for label, side in sides.items():
                        heard = side.play(f"{base}/{file}?{label}-{number}") * 1000
                        found.setdefault((temperature, label), []).append(heard)
            for temperature in ("cold", "cached"):
                relay, direct = (found[temperature, label] for label in ("relay", "direct"))
                shown = [f"{statistics.median(each):.0f} ({statistics.mean(each):.0f})" for each in (relay, direct)]
                difference = statistics.mean(relay) - statistics.mean(direct)
                print(f"{name + ', ' + temperature:44} {shown[0]:>16} {shown[1]:>16} {difference:>+11.1f}", flush=True)
        gaps: dict[str, list[int]] = {label: [] for label in sides}
        for number in range(options.rounds):
            for label, side in sides.items():
                side.play_all([f"{base}/{names['1 s wav']}?{label}-gap-{number}-{each}" for each in range(3)])
                gaps[label].append(side.phone.longest_gap())
        shown = [f"{statistics.median(gaps[label]):.0f} ({max(gaps[label])})" for label in sides]
        print(f"{'longest gap among 3 files, p50 (max)':44} {shown[0]:>16} {shown[1]:>16}", flush=True)
        for count in (8, 128):
            short = {label: f"{base}/{names[SHORT]}?{label}-{count}" for label in sides}
            for label, side in sides.items():
                side.play_all([f"{short[label]}-{each}" for each in range(count)])
            shown = [f"{side.switchroom.memory() / 2**20:.0f}" for side in sides.values()]
            print(f"{f'MiB of memory after {count} files in a request':44} {shown[0]:>16} {shown[1]:>16}", flush=True)


if __name__ == "__main__":
    main()
