"""A caller who asks FreeSWITCH for another call: what it would take to know one, and what becomes of the attempt."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.e2e.conftest import Dial
from tests.e2e.nodes import Node
from tests.e2e.system import DIDS, Receiver, Switchroom


def test_nothing_that_leaves_tells_a_channel(
    room_service: Switchroom, node: Node, hooks: Receiver, dial: Dial, new_room: Any, join: Any
) -> None:
    """Whoever knows a channel's uuid can take the call over. Answers, webhooks, the event log and the log are looked at."""
    session, call = dial()
    room = new_room()
    join(session, room)
    unowned = node.call("999999999", "527100099")
    channels = node.channels()
    assert channels
    unowned.wait_ended()
    answers = [
        room_service.get(path).body
        for path in (
            "/api/v1/sessions?limit=1000",
            f"/api/v1/sessions/{session}",
            f"/api/v1/conferences/{room}",
            f"/api/v1/conferences/{room}/members",
            "/api/v1/webhooks/deliveries",
        )
    ]
    assert session in str(answers)
    call.hang_up()
    hooks.wait("session.ended", uuid=session)
    command = [sys.executable, "-m", "switchroom", "tail", "--config", str(room_service.config), "--since", "1h"]
    tail = subprocess.run([*command, "--no-follow", "--json"], capture_output=True, text=True, timeout=30, check=True)
    assert session in tail.stdout
    log = (room_service.folder / "log").read_text()
    assert DIDS["alpha"] in str(hooks.received)
    for channel in channels:
        for where in (str(answers), str(hooks.received), tail.stdout, log):
            assert channel not in where
