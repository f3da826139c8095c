"""The emulator as a whole: a node, and the Event Socket by which it is driven."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

from esl.emulator import api, sip
from esl.emulator.channel import Channel
from esl.emulator.clock import AnyClock, Clock
from esl.emulator.media import HttpMedia, Media
from esl.emulator.node import Node
from esl.emulator.server import Server, Session

ANY_ADDRESS = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "localhost": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104


_bridge_ports = count(sip.BRIDGE_PORT)


class Emulator(Node):
    """One FreeSWITCH node, speaking the Event Socket on `host:port` (port 0: a free one, kept over restarts).

    `channels` are the calls by UUID, `conferences` the rooms by name. `password`, `modules`, `profiles` (of
    conferences), `hostname`, `sounds` (the folder of files played by name), `database_lag`, `looks_every` and
    `variables` (global ones) may be changed at any time.
    """

    def __init__(
        self,
        password: str,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: AnyClock | None = None,
        media: Media | None = None,
        profile: str = "default",
        sip_port: int = 5060,
        bridge_port: int = 0,
    ) -> None:
        """`sip_port` and `bridge_port` (0: one of its own) are where other nodes of this process call it."""
        ip = ANY_ADDRESS.get(host, host)
        bridge = sip.Address(ip, bridge_port or next(_bridge_ports))
        super().__init__(clock or Clock(), media or HttpMedia(), profile, sip.Address(ip, sip_port), bridge)
        self.password = password
        self._server = Server(self, host, port)
        self.listeners = self._server.sessions

    def start(self) -> None:
        self._server.start()
        self.accept_calls()

    def stop(self) -> None:
        """Stop listening and close every connection. The calls stay, until `restart`."""
        self._server.stop()
        self.refuse_calls()

    def restart(self) -> None:
        """A new process: no calls, a new Core-UUID, member ids from 1, at the same port."""
        self.stop()
        self.reboot()
        self.start()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the Event Socket."""
        return self._server.address

    @property
    def bridge(self) -> str:
        """`host:port` at which other nodes' legs reach it."""
        return str(self.addresses[sip.BRIDGE.name])

    @property
    def connections(self) -> list[Session]:
        """The open Event Socket connections."""
        return list(self._server.sessions)

    def drop_connections(self) -> None:
        """Reset every Event Socket connection; the node goes on."""
        for session in self.connections:
            session.reset()

    def silence(self, silent: bool = True) -> None:
        """Read what clients send and do it, but say nothing. What there was to say is said when the silence ends."""
        self._server.silence(silent)

    def call(
        self,
        to: str,
        caller_id_number: str = "anonymous",
        caller_id_name: str = "",
        headers: Mapping[str, str] | None = None,
        invite: sip.Invite | None = None,
    ) -> Channel:
        """A SIP call comes in, and is answered and parked. `headers`: its own `X-...`, `Replaces`, `Call-Info`.

        `invite` replaces all of it, for a test that decides every detail of the signalling.
        """
        return self.receive(
            invite
            or sip.Invite(
                to=to,
                user=caller_id_number,
                display=caller_id_name,
                source=sip.Address("127.0.0.1", 5070),
                headers=headers or {},
            )
        )

    def execute(self, command: str, argument: str) -> str:
        """Run an api command and return what it prints."""
        printed = api.run(self, command, argument)
        self.changed()
        return printed

    def do_job(self, job_uuid: str, command: str, argument: str) -> None:
        """Run an api command, which may take a while, and fire its result if the node's process still runs."""
        process = self.core_uuid
        result = self.execute(command, argument)
        if self.core_uuid == process:
            given = [("Job-Command-Arg", argument)] if argument else []
            self.emit("BACKGROUND_JOB", [("Job-UUID", job_uuid), ("Job-Command", command), *given], body=result)
