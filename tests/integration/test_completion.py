"""Words of the command line are completed in bash, as README.md says to set it up."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import of_page

BASH = shutil.which("bash")


def completed(line: str) -> list[str]:
    """What bash offers for the last word of a line, after the README's command."""
    (block,) = [block for block in of_page("README.md", "sh") if "_SWITCHROOM_COMPLETE" in block.text]
    words = line.split(" ")
    script = f"""
        {block.text}
        complete -p switchroom > /dev/null || exit 3
        COMP_WORDS=({" ".join(word or "''" for word in words)}) COMP_CWORD={len(words) - 1}
        $(complete -p switchroom | sed 's/.*-F \\([^ ]*\\).*/\\1/') switchroom
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run([BASH or "", "-c", script], env=environ, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, ""), run.stderr
    return run.stdout.split()


@pytest.mark.skipif(BASH is None, reason="no bash on this machine")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("switchroom we", {"webhooks"}),
        ("switchroom webhooks re", {"redeliver"}),
        ("switchroom serve --role ", {"api", "worker", "dispatcher", "media", "all"}),
        ("switchroom --ver", {"--version"}),
    ],
)
def test_words_are_completed(line: str, offered: set[str]) -> None:
    assert set(completed(line)) == offered


def test_the_version_is_that_of_the_package() -> None:
    run = subprocess.run([sys.executable, "-m", "switchroom", "--version"], capture_output=True, text=True, check=True)
    setup = (Path(__file__).parents[2] / "setup.cfg").read_text()
    version = next(line.partition(" = ")[2] for line in setup.splitlines() if line.startswith("version"))
    assert run.stdout == f"switchroom, version {version}\n"
