"""Every code block of README.md and docs/ is run, or stands in a table with the reason why not.

What a page has in shell runs as one script, in order, and so does what it has in Python: against a demo that serves, in
a folder like that of the project. What is different there from what a page shows (address, key, ids) is put in its place.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import gevent
import pytest
import yaml
from standardwebhooks.webhooks import Webhook

from controller.webhooks.types import DATA
from switchroom.client import Client
from switchroom.config import load
from tests.docs.blocks import BLOCKS, ROOT, Block, of_page
from tests.e2e.stores import free_port
from web import schemas

T = TypeVar("T")

# By page and first line: why it is not run here.
NOT_RUN = {
    "docs/freeswitch.md: export SWITCHROOM_NODE_PREFIX=acW68 SWITCHROOM_NODE_ESL_PASSWORD=$(openssl rand -hex 16)": (
        "needs a FreeSWITCH: make test-freeswitch starts one so"
    ),
    "docs/lab.md: SIGNALWIRE_TOKEN=PT... vagrant up": "needs vagrant and virtual machines",
    "README.md: SIGNALWIRE_TOKEN=... vagrant up    # two FreeSWITCH nodes, a controller with Redis; says how to get a token": (
        "needs vagrant and virtual machines"
    ),
    "docs/client.md: pip install pydantic urllib3 standardwebhooks": "it would install into the tests' own environment",
    "docs/operations.md: python3 -m venv /opt/switchroom": "make package does it in a folder of its own (tests/package.py)",
    "docs/operations.md: install -m 644 systemd/switchroom.service /etc/systemd/system/": "needs root and systemd",
    "docs/operations.md: export SWITCHROOM_CONFIG=/etc/switchroom/switchroom.toml SWITCHROOM_STORE__DATA_DIR=/var/lib/switchroom": (
        "needs the service"
    ),
    "docs/howto/upgrades.md: python3 -m venv /opt/switchroom-new": "as that of docs/operations.md",
    "docs/webhooks.md: from collections import defaultdict": "tests/unit/test_webhook_docs.py runs it",
    'docs/api.md: curl "${auth[@]}" -X POST $api/conferences/$room/commands/record': (
        "takes its time from step to step: tests/e2e/test_recordings.py waits"
    ),
    "docs/howto/recordings.md: import boto3": "needs boto3 and a bucket",
    'docs/howto/recordings.md: with client.get_recording_content(recording_id) as content, open("standup.wav", "wb") as file:': (
        "tests/e2e/test_client.py does"
    ),
    "docs/howto/tls.md: upstream switchroom {": "needs nginx and a certificate",
}
# Languages that nothing runs, and why.
NOTHING_TO_RUN = {
    "http": "a request to look at",
    "text": "no code",
    "console": "a session to look at: tests/e2e/test_events.py runs the commands in it",
    "mermaid": "a diagram: `make docs` draws it, and the browser says if it is wrong",
    "ini": "needs root and systemd",
    "nft": "needs root; tests/unit/test_lab.py reads the rules that are used",
}
RUNS = {"sh", "console", "python", "js", "go", "toml", "yaml", "json", "xml"}
# What a page has besides to try its Python with.
TRIED = {
    "docs/events.md": 'print(next(follow(os.environ["SWITCHROOM_URL"], "demo", os.environ["SWITCHROOM_KEY"])))',
}
SKIPPED = frozenset(NOT_RUN)
RECEIVERS = "docs/howto/receivers.md"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def named(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language and f"{block.page}: {block.first}" not in SKIPPED]


def pages(language: str) -> list[str]:
    return list(dict.fromkeys(block.page for block in named(language)))


def test_every_block_has_a_language_that_is_run_or_cannot_be() -> None:
    languages = {block.language for block in BLOCKS}
    assert {language for language in languages if named(language)} <= RUNS | NOTHING_TO_RUN.keys()
    assert NOT_RUN.keys() - {f"{block.page}: {block.first}" for block in BLOCKS} == set()


# A demo that serves


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("clone")
    (folder / ".venv").mkdir()
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / "build").mkdir()
    (folder / "Makefile").symlink_to(ROOT / "Makefile")
    with subprocess.Popen(
        [sys.executable, "-m", "switchroom", "demo", "--env-file", "build/demo.env"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    ) as demo:
        try:
            with gevent.Timeout(120):
                while not (folder / "build" / "demo.env").exists():
                    assert demo.poll() is None
                    gevent.sleep(0.05)
            yield folder
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)


@pytest.fixture(scope="module")
def variables(clone: Path) -> dict[str, str]:
    """What the demo's file has."""
    script = '. build/demo.env; printf "%s\\n" "$base" "$key" "$tone" "$config"'
    values = subprocess.run(["sh", "-c", script], cwd=clone, capture_output=True, text=True, check=True).stdout.split()
    found = dict(zip(("base", "key", "tone", "config"), values, strict=True))
    apps = tomllib.loads(Path(found["config"]).read_text())["apps"]
    app = next(app for app in apps if app["id"] == "demo")
    return {**found, "secret": app["webhook_secret"]}


@pytest.fixture
def client(variables: dict[str, str]) -> Iterator[Client]:
    address = variables["base"].removesuffix("/api/v1")
    with Client(address, app_id="demo", api_key=variables["key"]) as client:
        endpoint = client.get_endpoint().url
        yield client
        client.set_endpoint(endpoint)
        for room in [*client.list_rooms()]:
            client.delete_room(room.room_id)
        with gevent.Timeout(30):
            while any(session.state != "parked" for session in client.list_sessions()):
                gevent.sleep(0.05)


def first_of(listed: Callable[[], Iterable[T]]) -> T:
    """The first one, once there is one."""
    with gevent.Timeout(30):
        while True:
            for each in listed():
                return each
            gevent.sleep(0.05)


def adapted(text: str, variables: dict[str, str], webhook: str = "", endpoint: str = "") -> str:
    """With what there is in place of what a page shows."""
    return (
        text.replace("http://127.0.0.1:8080", variables["base"].removesuffix("/api/v1"))
        .replace("/opt/switchroom-new/bin/", "")
        .replace("the-key-of-your-app", variables["key"])
        .replace("https://app.example.com/v2", endpoint)
        .replace("http://localhost:3000/hooks", endpoint)
        .replace("https://switchroom.example.com", variables["base"].removesuffix("/api/v1"))
        .replace("SWITCHROOM_API_KEY=...", f"SWITCHROOM_API_KEY={variables['key']}")
        .replace("whsec_BL9vWmWaEqdBQsT3U+3JHsvoTjE4vQ3qDFOFXHZk3+0=", variables["secret"])
        .replace("msg_p07-1795374235886-0", webhook)
    )


def environment(variables: dict[str, str], client: Client, clone: Path) -> dict[str, str]:
    """What pages take for granted, as they name it."""
    session = first_of(lambda: client.list_sessions(state="parked"))
    address = variables["base"].removesuffix("/api/v1")
    return {
        **os.environ,
        "PATH": f"{clone}/.venv/bin:{os.environ['PATH']}",
        "API_KEY": variables["key"],
        "SWITCHROOM_URL": address,
        "SWITCHROOM_KEY": variables["key"],
        "SWITCHROOM_TONE": variables["tone"],
        "SWITCHROOM_CONFIG": variables["config"],
        "SWITCHROOM_LOG_LEVEL": "error",
        "SWITCHROOM_OPERATOR_PASSWORD": "a password for the tests",
        "session": session.uuid,
        "room": client.create_room("of-the-page").room_id,
        "cursor": "",
        "PYTHONUNBUFFERED": "1",
    }


# What does not end by itself ends here once it has begun. Targets of make are there, and are run by themselves. `auth`
# and `json` are as docs/api.md has them for other pages, too. Between blocks what was sent again arrives. A
# cooldown that another page has started is waited out.
PRELUDE = r"""
set -e
auth=(-H "X-App-ID: demo" -H "X-API-Key: $API_KEY")
json=(-H "Content-Type: application/json")
api=$SWITCHROOM_URL/api/v1
curl() {
    local response seconds=2
    if [ "$1" = -N ]; then
        until response=$(timeout $seconds curl "$@") || [[ $response = retry:* ]]; do seconds=$((2 * seconds)); done
        return
    fi
    while response=$(command curl --no-progress-meter "$@") || return; [[ $response = *'"retry_after_ms"'* ]]; do sleep 0.2; done
    printf '%s\n' "$response"
}
make() { grep -q "^$1:" Makefile || { echo "no target $1" >&2; return 1; }; }
switchroom() {
    case $1 in
    serve)
        : > serve.out
        SWITCHROOM_CONFIG=serve.toml command switchroom "$@" > serve.out &
        local serving=$!
        until grep -q '^switchroom ready' serve.out; do kill -0 $serving; sleep 0.1; done
        kill $serving; wait $serving ;;
    listen)
        : > listen.out
        command switchroom "$@" > listen.out &
        local listening=$!
        until grep -q '^ready' listen.out; do kill -0 $listening; sleep 0.1; done
        kill $listening; wait $listening ;;
    *) command switchroom "$@" ;;
    esac
}
settled() { while curl -sS "${auth[@]}" "$api/webhooks/deliveries?status=retrying" | grep -q msg_; do sleep 0.1; done; }
openapi-python-client() { test -s openapi.json; }
"""
SERVE = '[server]\nlisten = "127.0.0.1:0"\n[store]\ndata_dir = "served"\n[media]\nlisten = "127.0.0.1:0"\n'


def commands(block: Block) -> str:
    """Of a block in shell, or of a session on a terminal, which has what they print, too."""
    if block.language == "sh":
        return block.text
    return "\n".join(line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ "))


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
@pytest.mark.parametrize("page", sorted({*pages("sh"), *pages("console")}))
@pytest.mark.timeout(300)
def test_shell(page: str, clone: Path, variables: dict[str, str], client: Client) -> None:
    webhook = first_of(lambda: client.list_deliveries(status="delivered")).webhook_id
    endpoint = client.get_endpoint().url
    scripts = [block for block in BLOCKS if block.page == page and block in [*named("sh"), *named("console")]]
    shown = [adapted(commands(block), variables, webhook, endpoint) for block in scripts]
    (clone / "serve.toml").write_text(SERVE)
    run = subprocess.run(
        ["bash"],
        input=PRELUDE + "\nsettled\n".join(shown),
        cwd=clone,
        env=environment(variables, client, clone),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.findall('{"success":false,"error":"[^"]*"', run.stdout) == []
    assert "not found" not in run.stderr
    # Its own form of a response, where curl is silent about errors.
    assert "curl: (" not in run.stderr


@pytest.mark.parametrize("page", [page for page in pages("python") if page != RECEIVERS])
def test_python(page: str, clone: Path, variables: dict[str, str], client: Client) -> None:
    code = "\n".join(adapted(block.text, variables) for block in of_page(page, "python", SKIPPED))
    code += "\nimport os\n" + TRIED.get(page, "")
    environ = environment(variables, client, clone)
    stop = client.create_room("happens").room_id
    # Something happens for whoever follows events.
    happening = gevent.spawn(_flip, client, environ["session"], stop)
    try:
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=clone,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        happening.kill()
    assert run.returncode == 0, run.stdout + run.stderr


def _flip(client: Client, session: str, room: str) -> None:
    """A caller comes and goes, unless what is tried has it in a room of its own."""
    while True:
        try:
            client.join(session, room)
            client.leave(session)
        except Exception:
            gevent.sleep(0.2)


# Receivers of webhooks


PROGRAMS = {
    "python": ("receiver.py", [sys.executable, "receiver.py"]),
    "js": ("receiver.mjs", ["node", "receiver.mjs"]),
    "go": ("receiver.go", ["go", "run", "receiver.go"]),
}


@pytest.mark.parametrize("language", PROGRAMS)
@pytest.mark.timeout(300)
def test_a_receiver(language: str, tmp_path: Path) -> None:
    file, command = PROGRAMS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    (block,) = of_page(RECEIVERS, language)
    port = free_port()
    (tmp_path / file).write_text(block.text.replace("3000", str(port)))
    environ = {**os.environ, "WEBHOOK_SECRET": SECRET, "GOCACHE": str(tmp_path / "go"), "GO111MODULE": "off"}
    receiver = subprocess.Popen(
        command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}/hooks"
    try:
        with gevent.Timeout(120):
            while _post(url, {}, b"") is None:
                assert receiver.poll() is None, receiver.stdout.read() if receiver.stdout else ""
                gevent.sleep(0.1)
        body = json.dumps(example("conference.member.joined"), ensure_ascii=False).encode()
        now = datetime.now(UTC)
        assert _post(url, signed("msg_1", now, body), body) == 204
        assert _post(url, signed("msg_1", now, body), body) == 204
        assert _post(url, signed("msg_2", now, body), body + b" ") == 401
        assert _post(url, signed("msg_3", datetime.fromtimestamp(time.time() - 400, UTC), body), body) == 401
        assert _post(url, {**signed("msg_4", now, body), "webhook-signature": "v1,AAEC v2,x x"}, body) == 401
        both = signed("msg_5", now, body)
        both["webhook-signature"] = f"v1,{'A' * 43}= {both['webhook-signature']}"
        assert _post(url, both, body) == 204
    finally:
        os.killpg(receiver.pid, signal.SIGKILL)
        output = receiver.communicate()[0].decode()
    assert output.count("conference.member.joined") == 2, output


def example(type_: str) -> dict[str, object]:
    data = {name: field.examples[0] for name, field in DATA[type_].model_fields.items() if field.is_required()}
    return {"type": type_, "timestamp": "2026-05-06T12:34:56.789Z", "data": {**data, "caller_id": "Zoë"}}


def signed(webhook: str, at: datetime, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": webhook,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(webhook, at, body.decode()),
    }


def _post(url: str, headers: dict[str, str], body: bytes) -> int | None:
    """The status, None if nobody listens."""
    try:
        return urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


# What is read


@pytest.mark.parametrize("block", named("toml"), ids=str)
def test_a_configuration(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "switchroom.toml"
    file.write_text(block.text)
    assert load(file, {})
    assert tomllib.loads(block.text)


@pytest.mark.parametrize("block", named("json"), ids=str)
def test_a_json_text(block: Block) -> None:
    value = json.loads(block.text)
    if "success" in value:
        schemas.Error.model_validate(value)
    elif "type" in value:
        DATA[value["type"]].model_validate(value["data"])


@pytest.mark.parametrize("block", named("yaml"), ids=str)
def test_a_configuration_of_prometheus(block: Block) -> None:
    (job,) = yaml.safe_load(block.text)["scrape_configs"]
    # The alerts of contrib/ ask for the job by its name.
    assert f'job="{job["job_name"]}"' in (ROOT / "contrib" / "prometheus" / "switchroom.yml").read_text()


@pytest.mark.parametrize("block", named("xml"), ids=str)
def test_an_xml_text(block: Block) -> None:
    ElementTree.fromstring(block.text)


def test_settings_of_the_environment_are_settings() -> None:
    """A shell takes any assignment."""
    text = "\n".join(block.text for block in of_page("docs/configuration.md", "sh"))
    settings = dict(re.findall(r"^(SWITCHROOM_\w+)=(.+)$", text, re.MULTILINE))
    assert len(settings) == 3
    config = load(None, {name: value.strip("'") for name, value in settings.items()})
    assert config.server.listen == settings["SWITCHROOM_SERVER__LISTEN"]
