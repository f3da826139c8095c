"""The layers, and what only one place may do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from controller.store.states import DELIVERY_STATUSES, TABLES

ROOT = Path(__file__).parents[2]
PACKAGES = ("esl", "controller", "web", "switchroom")
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def test_imports_point_down_only() -> None:
    run = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


STATE = "|".join(sorted({*DELIVERY_STATUSES, *(state for table in TABLES.values() for state in table)}))
COMPARED_STATE = rf"(==|!=|\bin) *[(\[{{]?([\"']\w+[\"'], *)*[\"']({STATE})[\"']|[\"']({STATE})[\"'] *(==|!=)"

# What may stand only in the files named: a pattern, where it is allowed, and why.
ONLY = [
    (r"monkey\.patch_", ("switchroom/__main__.py", "esl/emulator/__main__.py"), "entry points patch"),
    # The fake of the client imports nothing of the service. Tests hold it to the service.
    (COMPARED_STATE, ("controller/store/states.py", "switchroom/client/fake.py"), "states are spelled once"),
    (r"msg_(test-)?[\"'{]", ("controller/ids.py",), "ids are spelled once"),
    (r"[\"']\{(registry|p%02d|n:%s)\}", ("controller/store/keys.py",), "keys are spelled once"),
    (r"\b(uuid_transfer|uuid_kill|bgdial|file-vol|xml_locate)\b", ("esl/",), "FreeSWITCH is spoken by esl"),
    (r"\bimport web\b|\bfrom web\b", ("web/", "switchroom/processes.py"), "one place wires the API"),
    (r"import_module\(", ("switchroom/cli/main.py",), "only commands are imported by their names"),
    # What headers.py reads is settled at import, ahead of any configuration, and changes no answer.
    (r"\bos\.environ\b", ("switchroom/cli/base.py", "esl/headers.py"), "settings come from the configuration"),
    (r"(?<![.\w])print\(", ("esl/emulator/__main__.py",), "what is said goes through the log or the command line"),
]


@pytest.mark.parametrize(("pattern", "allowed", "why"), ONLY, ids=[why for *_, why in ONLY])
def test_only_one_place(pattern: str, allowed: tuple[str, ...], why: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        if not str(file.relative_to(ROOT)).startswith(allowed)
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if re.search(pattern, line) and not line.lstrip().startswith("#")
    ]
    assert not found, f"{why}:\n" + "\n".join(found)


def test_the_entry_point_patches_before_anything_else() -> None:
    code = (ROOT / "switchroom" / "__main__.py").read_text()
    imports = [line for line in code.splitlines() if re.match(r"(from|import) ", line)]
    assert imports[0] == "from gevent import monkey"
    assert code.index("monkey.patch_all()") < code.index(imports[1])


def test_the_command_line_starts_without_the_api() -> None:
    """It would take half as long again."""
    code = "import sys, switchroom.__main__; print([name for name in ('flask', 'web') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_every_package_is_typed_and_described() -> None:
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists()
    for file in FILES:
        text = file.read_text()
        assert not text or text.startswith('"""'), f"{file.relative_to(ROOT)} does not say what it is for"
