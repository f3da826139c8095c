"""What the command line says without a store: help, versions, mistakes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from switchroom.cli.main import cli

# They ask the service, or make a configuration of their own.
READ_NO_FILE = {"demo", "listen", "trigger"}
NODE_ADD = ["node", "add", "acW68", "127.0.0.1:8021", "--password", "p"]


@pytest.fixture
def switchroom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **environ: str) -> Result:
        return CliRunner().invoke(cli, arguments, env=environ)

    return run


def commands(group: click.Group, *above: str) -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)
        else:
            yield " ".join((*above, name))


def test_no_command_is_imported_before_it_is_wanted() -> None:
    code = "import sys, switchroom.cli.main; print(*(name for name in sys.modules if name.startswith('controller')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


@pytest.mark.parametrize("command", list(commands(cli)))
def test_every_command_has_help(switchroom, command: str) -> None:  # type: ignore[no-untyped-def]
    result = switchroom(*command.split(), "--help")
    assert result.exit_code == 0
    assert ("--config" in result.stdout) == (command not in READ_NO_FILE)
    assert "--log-level" in result.stdout


@pytest.mark.parametrize("group", sorted({command.rpartition(" ")[0] for command in commands(cli)}))
def test_a_list_of_commands_says_of_each_what_it_does(switchroom, group: str) -> None:  # type: ignore[no-untyped-def]
    """In a whole sentence, also in 80 columns."""
    listed = switchroom(*group.split(), "--help", COLUMNS="80").stdout.partition("Commands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_mistake_in_the_file_is_one_clear_line(switchroom, tmp_path: Path, how: str) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "x.toml"
    file.write_text("[server]\nlisten = 1\n")
    result = (
        switchroom("app", "list", "--config", str(file))
        if how == "option"
        else switchroom("app", "list", SWITCHROOM_CONFIG=str(file))
    )
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr == (
        f"Error: {file}, line 2: [server] listen: must be text in quotes (the address on which the REST API listens)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["app", "add", "not an id"], "id: must be"),
        (["app", "add", "a", "--webhook-url", "ftp://x"], "webhook_url: must be a URL"),
        (["app", "add", "a", "--did", "a b"], "dids: must be a number"),
        (["node", "add", "x", "127.0.0.1:8021", "--password", "p"], "prefix: must be exactly 5"),
        (["node", "add", "acW68", "127.0.0.1", "--password", "p"], "esl: must be host:port"),
        ([*NODE_ADD, "--bridge", "127.0.0.1"], "bridge: must be host:port"),
        ([*NODE_ADD, "--weight", "0"], "weight: must be"),
        ([*NODE_ADD, "--weight", "101"], "weight: must be"),
        ([*NODE_ADD, "--weight", "half"], "is not a valid integer"),
        ([*NODE_ADD, "--capacity", "-1"], "capacity: must be"),
        *(
            (
                [*NODE_ADD, "--hold-music", music],
                'hold_music: must be the path of a file, or "local_stream://" and a name',
            )
            for music in (
                "moh",
                "http://h/a.wav",
                "/a b.wav",
                "/../a",
                "local_stream://a,b",
                "local_stream://",
                "tone_stream://1",
            )
        ),
        ([*NODE_ADD, "--region", "EU west"], "region: must be 1 to 64 letters"),
        (["tail", "--since", "yesterday"], "neither a time"),
        (["webhooks", "list", "demo", "--since", "yesterday"], "neither a time"),
        (["webhooks", "list", "demo", "--status", "held"], "is not one of"),
        (["webhooks", "redeliver", "demo"], "give either WEBHOOK or --since"),
        (["webhooks", "redeliver", "demo", "msg_p00-1-0", "--since", "1h"], "give either WEBHOOK or --since"),
        (["webhooks", "redeliver", "demo", "msg_p00-1-0", "--until", "1h"], "--until goes with --since"),
        (["serve", "--role", "cook"], "is not one of"),
        (["serve", "--config", "missing.toml"], "cannot read missing.toml"),
    ],
)
def test_wrong_input_is_refused_before_anything_starts(  # type: ignore[no-untyped-def]
    switchroom, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = switchroom(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "data").exists()
