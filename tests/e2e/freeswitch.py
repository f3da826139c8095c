"""A real FreeSWITCH with this repository's configuration, on loopback and in a folder of its own."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIGURATION = Path(__file__).parents[2] / "freeswitch-conf"
DOCUMENTED = Path(__file__).parents[2] / "docs" / "freeswitch.md"
FOLDERS = [
    "log",
    "db",
    "run",
    "temp",
    "storage",
    "cache",
    "recordings",
    "sounds",
    "scripts",
    "htdocs",
    "grammar",
    "certs",
]
BOOT_SECONDS = 40

_nodes = itertools.count()


def find_binary() -> str | None:
    """What `FREESWITCH_BIN` names, else what is on the PATH."""
    return shutil.which(os.environ.get("FREESWITCH_BIN") or "freeswitch")


def find_faketime() -> Path | None:
    """What lets a program see another time (Debian and Ubuntu: apt install faketime)."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


class FreeSwitch:
    """Up when the constructor returns. Raises AssertionError, with its log, if it does not come up."""

    def __init__(
        self,
        folder: Path,
        binary: str,
        without: str = "",
        late: int = 0,
        direct: str = "",
        address: str = "127.0.0.1",
        **variables: str | None,
    ) -> None:
        """`without` a module, or that many seconds `late` (see `find_faketime`). `direct`: as docs/freeswitch.md says
        of nodes that fetch by themselves, with that file of certificates. All of it is at `address`.

        `variables` are those of `vars.xml`, without their prefix; None leaves one unset.
        """
        self.folder = folder
        esl, sip, bridge = _free_ports(3, address)
        # Nodes that run at the same time keep out of each other's ports.
        rtp = 24000 + (os.getpid() * 7 + next(_nodes)) % 16 * 500
        settings: dict[str, str | None] = {
            "ESL_IP": address,
            "ESL_PORT": str(esl),
            "ESL_PASSWORD": "tests-only-0123456789",
            # One of the two is used. SIPp and phones here speak UDP.
            "SIP_IP": address,
            "SIP_PORT": str(sip),
            "SIP_TLS_PORT": str(sip),
            "SIP_TRANSPORT": "udp,tcp",
            "BRIDGE_IP": address,
            "BRIDGE_PORT": str(bridge),
            "RTP_START": str(rtp),
            "RTP_END": str(rtp + 498),
            "CODECS": "PCMU",
        } | variables
        self.password = settings["ESL_PASSWORD"] or ""
        self.esl, self.sip = f"{address}:{esl}", f"{address}:{sip}"
        # Where other nodes call it.
        self.bridge = f"{settings['BRIDGE_IP']}:{bridge}"
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        if settings.get("SIP_TLS") == "true":
            key, certificate = self_signed(folder)
            (folder / "certs" / "agent.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
        shutil.copytree(CONFIGURATION, folder / "conf")
        if direct:
            _let_fetch(folder / "conf", direct)
        modules = folder / "conf" / "autoload_configs" / "modules.conf.xml"
        modules.write_text(modules.read_text().replace(f'<load module="{without}"/>', ""))
        arguments = [part for name in FOLDERS for part in (f"-{name}", str(folder / name))]
        # In the foreground, without a console, at normal priority, asking no NAT.
        self._command = [binary, "-nf", "-nc", "-np", "-nonat", "-conf", str(folder / "conf"), *arguments]
        self._environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(folder)} | {
            f"SWITCHROOM_NODE_{name}": value for name, value in settings.items() if value is not None
        }
        if late:
            self._environment |= {"LD_PRELOAD": str(find_faketime()), "FAKETIME": f"-{late}s"}
        self._listening = [(address, port) for port in (esl, sip)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=(self.folder / "out").open("a"),
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        try:
            self._wait_up()
        except BaseException:
            self.stop()
            raise

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """As a crash does."""
        self._process.kill()
        self._process.wait(5)

    def signal(self, number: int) -> None:
        """Returns when a process that is killed by it is gone."""
        self._process.send_signal(number)
        if number == signal.SIGKILL:
            self._process.wait(5)

    def log(self) -> str:
        path = self.folder / "log" / "freeswitch.log"
        return path.read_text(errors="replace") if path.exists() else (self.folder / "out").read_text(errors="replace")

    def terminate(self) -> None:
        """Ask it to end; `stop` waits for that."""
        self._process.terminate()

    def stop(self) -> None:
        self.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait_up(self) -> None:
        """SIP listens on TCP too, so a connection tells for both."""
        until = time.monotonic() + BOOT_SECONDS
        while not all(map(_listens, self._listening)):
            assert self._process.poll() is None, f"freeswitch has ended:\n{self.log()[-3000:]}"
            assert time.monotonic() < until, f"freeswitch is not up:\n{self.log()[-3000:]}"
            time.sleep(0.05)


def _let_fetch(conf: Path, certificates: str) -> None:
    modules = '<load module="mod_shout"/>\n  </modules>'
    fetching = f'<param name="ssl-cacert" value="{certificates}"/>\n  </settings>'
    _replace(conf / "autoload_configs" / "modules.conf.xml", "</modules>", modules)
    _replace(conf / "autoload_configs" / "http_cache.conf.xml", "</settings>", fetching)
    kinds = re.findall(r"^ +(audio/\S+\t\w+\n)", DOCUMENTED.read_text(), re.MULTILINE)
    (conf / "mime.types").write_text("".join(kinds))


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A key and a certificate for 127.0.0.1. Needs openssl."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate),
         "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, certificate


def _listens(address: tuple[str, int]) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(address) == 0


def _free_ports(count: int, address: str) -> list[int]:
    """All different. Taken for TCP and UDP at the same time."""
    found: list[int] = []
    held: list[socket.socket] = []
    while len(found) < count:
        tcp, udp = socket.socket(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        held += [tcp, udp]
        tcp.bind((address, 0))
        port = tcp.getsockname()[1]
        try:
            udp.bind((address, port))
        except OSError:
            continue
        found.append(port)
    for sock in held:
        sock.close()
    return found
