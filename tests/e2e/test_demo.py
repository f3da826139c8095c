"""`switchroom demo --once`, as a stranger runs it."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from tests.docs.blocks import of_page


def demo(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    code = "; ".join(
        [
            "from gevent import monkey",
            "monkey.patch_all()",
            *before,
            "import sys",
            "from switchroom.__main__ import main",
        ]
    )
    return subprocess.run(
        [sys.executable, "-c", f"{code}; sys.argv = ['switchroom', 'demo', '--once']; main()"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_the_walk(tmp_path: Path) -> None:
    run = demo(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert "emulated" in run.stdout.splitlines()[0]
    assert "[[nodes]]" in run.stdout.splitlines()[0]
    assert run.stdout.rstrip().endswith("All went as expected.")
    assert re.findall(r"response (\d+)", run.stdout) == [
        *["201", "202", "202", "202"],
        *["202", "200", "200"],
        *["202", "202", "202", "202", "200", "202"],
        *["202", "200"],
    ]
    assert re.findall(r"webhook +([a-z._]+)", run.stdout) == [
        *["session.started"] * 3,
        "conference.created",
        *["conference.member.joined"] * 3,
        "session.started",
        "conference.member.joined",
        "conference.member.unmuted",
        "conference.play.started",
        "conference.play.volume_changed",
        *["conference.play.paused"] * 2,
        "conference.play.finished",
        "conference.member.left",
        "conference.destroyed",
        *["conference.member.left"] * 3,
    ]
    assert re.findall(r"sound +(\w+) .* to (.+)", run.stdout) == [("demo1", "Alice, Bob, Carol"), ("demo2", "Dave")]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        ("endpoint.WEBHOOK_SECONDS = 0.0", "no webhook session.started"),
        ("walk.TONES = (3, 0)", "no webhook conference.play.finished"),
        ("walk.COOLDOWN_MARGIN = -9.0", "expected another response: 429 rate_limited"),
        ("legs.SipCall.hears = lambda *_: None", "expected the file to reach demo2"),
    ],
)
def test_it_fails_when_something_differs(tmp_path: Path, sabotage: str, told: str) -> None:
    run = demo(tmp_path, "from esl.emulator import legs", "from switchroom.demo import endpoint, walk", sabotage)
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"Differed: {told}" in run.stdout
    assert "All went as expected" not in run.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A folder like the project's, in which the demo serves; it ends by Ctrl-C."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (tmp_path / "build").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "switchroom", "demo", "--env-file", "build/demo.env"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            assert demo.stdout is not None
            with gevent.Timeout(90), (tmp_path / "build" / "printed").open("w") as printed:
                line = ""
                while " console-link " not in line:
                    line = demo.stdout.readline()
                    assert demo.poll() is None
                    printed.write(line)
                while not (tmp_path / "build" / "demo.env").exists():
                    gevent.sleep(0.02)
            yield tmp_path
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)
    assert not (tmp_path / "build" / "demo.env").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "build"]


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash"], input=script, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_tour_can_be_pasted_as_a_whole(clone: Path) -> None:
    assert stat.S_IMODE((clone / "build" / "demo.env").stat().st_mode) == 0o600
    (block,) = [block for block in of_page("README.md", "sh") if block.first.startswith(". build/demo.env")]
    tour = bash(block.text, clone)
    assert (tour.returncode, tour.stderr) == (0, "")
    assert '"success":false' not in tour.stdout
    answers = [line for line in tour.stdout.splitlines() if line.startswith("{")]
    assert len(answers) == 7
    for answer, holds in zip(
        answers,
        ["caller_id", "joining", "unmuted", "in_progress", '"playback_status":"playing"', '"muted":false', "room_id"],
        strict=True,
    ):
        assert holds in answer
    assert '{"prefix":"demo2","bridge":"connected","members":1}' in answers[4]
    assert re.findall("command +([a-z]+)", tour.stdout)[-5:] == ["create", "join", "unmute", "play", "delete"]


def test_the_doctor_finds_nothing_wrong_with_the_demo(clone: Path) -> None:
    doctor = bash('. build/demo.env; .venv/bin/switchroom doctor --config "$config"', clone)
    assert doctor.stdout.endswith("all is well\n"), doctor.stdout + doctor.stderr
    assert "/switchroom.toml" in doctor.stdout.splitlines()[0]


def ask(port: int, method: str, path: str, body: object = None, **headers: str) -> tuple[Any, Any]:
    """As a page of the console does. -> the body of a success, and the headers."""
    headers["Origin"] = f"http://127.0.0.1:{port}"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    if body:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, json.dumps(body) if body else None, headers)
    response = connection.getresponse()
    found = json.loads(response.read())
    connection.close()
    assert response.status == 200, found
    return found, response.headers


def test_the_link_leads_to_a_room_in_which_people_talk(clone: Path) -> None:
    printed = (clone / "build" / "printed").read_text()
    (address, token) = re.findall(r"  http://127\.0\.0\.1:(\d+)/console/#link=(\S+)", printed)[0]
    port = int(address)
    me, headers = ask(port, "POST", "/console/api/open", {"token": token})
    assert (me["kind"], me["name"], me["role"]) == ("operator", "demo", "operate")
    session = {"Cookie": headers["Set-Cookie"].partition(";")[0], "X-CSRF-Token": me["csrf"]}

    def members() -> int:
        rooms, _ = ask(port, "GET", "/console/api/rooms?name=open-house", **session)
        return sum(room["members"] for room in rooms["rooms"])

    with gevent.Timeout(90):
        while members() < 7:
            gevent.sleep(0.2)


def test_another_link_is_made_as_it_says(clone: Path) -> None:
    printed = (clone / "build" / "printed").read_text()
    (arguments,) = re.findall(r"^  \S+ (console-link .*)$", printed, re.MULTILINE)
    command = [sys.executable, "-m", "switchroom", *shlex.split(arguments)]
    made = subprocess.run(command, cwd=clone, capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0, made.stderr
    assert "/console/#link=" in made.stdout
