"""`make lab-call`, on the node at hand instead of the lab's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.nodes import Node
from tests.e2e.system import DIDS, KEYS, Receiver, Switchroom

pytestmark = pytest.mark.freeswitch
SCRIPT = Path(__file__).parents[2] / "lab" / "call.sh"


def call(node: Node, system: Switchroom, **settings: str) -> subprocess.CompletedProcess[str]:
    defaults = {
        "LAB_SIP": node.sip,
        "LAB_API": f"http://127.0.0.1:{system.port}",
        "LAB_APP": "alpha",
        "LAB_KEY": KEYS["alpha"],
        "LAB_DID": DIDS["alpha"],
        "LAB_CALLS": "2",
        "LAB_SECONDS": "4",
    }
    return subprocess.run(
        [str(SCRIPT)], env={"PATH": os.environ["PATH"], **defaults, **settings},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


def test_the_calls_become_sessions_and_end(node: Node, room_service: Switchroom, hooks: Receiver) -> None:
    said = call(node, room_service)
    assert said.returncode == 0, said.stdout + said.stderr
    listed = [line for line in said.stdout.splitlines() if " 527100" in line]
    assert len(listed) == 2
    assert all(line.endswith(f"-> {DIDS['alpha']} parked") for line in listed)
    for line in listed:
        hooks.wait("session.ended", uuid=line.split()[0])


def test_a_number_nobody_owns_is_told(node: Node, room_service: Switchroom) -> None:
    said = call(node, room_service, LAB_DID="999999999")
    assert said.returncode == 1
    assert "did not become sessions" in said.stderr


def test_a_wrong_key_is_told(node: Node, room_service: Switchroom) -> None:
    said = call(node, room_service, LAB_KEY="wrong")
    assert said.returncode == 1
    assert "401" in said.stderr
