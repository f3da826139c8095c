"""`switchroom demo --once`, as a stranger runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


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
        timeout=50,
        check=False,
    )


def test_the_walk(tmp_path: Path) -> None:
    run = demo(tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert "emulated" in run.stdout.splitlines()[0]
    assert "[[nodes]]" in run.stdout.splitlines()[0]
    assert run.stdout.rstrip().endswith("All went as expected.")
    assert re.findall(r"answer  (\d+)", run.stdout) == [
        *["201", "202", "202", "202", "200"],
        *["202", "202", "202", "202", "200", "202"],
        *["202", "200"],
    ]
    assert re.findall(r"webhook ([a-z._]+)", run.stdout) == [
        *["session.started"] * 3,
        "conference.created",
        *["conference.member.joined"] * 3,
        "conference.member.unmuted",
        "conference.play.started",
        "conference.play.volume_changed",
        *["conference.play.paused"] * 2,
        "conference.play.finished",
        "conference.member.left",
        "conference.destroyed",
        *["conference.member.left"] * 2,
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sabotage", "told"),
    [
        ("WEBHOOK_SECONDS = 0.0", "no webhook session.started"),
        ("TONES = (3, 0)", "no webhook conference.play.finished"),
        ("COOLDOWN_MARGIN = -9.0", "expected POST"),
    ],
)
def test_it_fails_when_something_differs(tmp_path: Path, sabotage: str, told: str) -> None:
    run = demo(tmp_path, "import controller.demo", f"controller.demo.{sabotage}")
    assert run.returncode == 1, run.stdout + run.stderr
    assert f"Differed: {told}" in run.stdout
    assert "All went as expected" not in run.stdout
