"""The lock: what setup.cfg and pyproject.toml ask for, at one release each, with the hashes of its files."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def wanted(lock: str) -> list[Requirement]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    run = config["options"]["install_requires"]
    extras = config["options.extras_require"]
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    lines = {
        "requirements-build.txt": build,
        "requirements.txt": run.splitlines(),
        "requirements-dev.txt": [*run.splitlines(), *extras["dev"].splitlines()],
        "requirements-docs.txt": [*run.splitlines(), *extras["docs"].splitlines()],
    }[lock]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


LOCKS = ("requirements-build.txt", "requirements.txt", "requirements-dev.txt", "requirements-docs.txt")
ENTRY = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)( ; [^\\]+)?(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)\n"
)


def entries(lock: str) -> dict[str, str]:
    return {found["name"]: found["version"] for found in ENTRY.finditer((ROOT / lock).read_text())}


@pytest.mark.parametrize("lock", LOCKS)
def test_all_that_is_asked_for_is_locked(lock: str) -> None:
    locked = entries(lock)
    for requirement in wanted(lock):
        version = locked.get(canonicalize_name(requirement.name), "")
        assert version in requirement.specifier, f"{requirement} is not what {lock} has: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_nothing_but_releases_with_their_hashes(lock: str) -> None:
    # No option either, which could name another index.
    rest = re.sub(r"(?m)^ *#.*\n", "", ENTRY.sub("", (ROOT / lock).read_text()))
    assert rest == ""


def test_who_develops_has_what_is_installed_elsewhere() -> None:
    assert entries("requirements.txt").items() <= entries("requirements-dev.txt").items()


def test_the_documentation_is_built_in_the_same_environment() -> None:
    """Whatever both need is installed in the same release."""
    dev = entries("requirements-dev.txt")
    assert {name: dev.get(name, version) for name, version in entries("requirements-docs.txt").items()} == entries(
        "requirements-docs.txt"
    )


@pytest.mark.parametrize(("file", "count"), [("Makefile", 4), ("lab/controller.sh", 3), ("tests/package.py", 3)])
def test_nothing_is_installed_but_what_is_locked(file: str, count: int) -> None:
    calls = re.findall(r"^.*(?:PIP_INSTALL\)|pip_install|\*install,) .*--.*$", (ROOT / file).read_text(), re.MULTILINE)
    assert len(calls) == count
    assert all("--require-hashes" in call or "--no-deps" in call for call in calls)
