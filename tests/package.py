"""`make package`: what is built for others holds all that it should, and works by itself."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("controller/", "esl/", "switchroom/", "web/")
NOT_FOR_OTHERS = (".ci/", ".gitignore")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    return subprocess.run(list(map(str, command)), cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def missing(built: Path) -> set[str]:
    """The project's files that are not in an archive where they should be."""
    files = {name for name in run("git", "ls-files").splitlines() if not name.startswith(NOT_FOR_OTHERS)}
    if built.suffix == ".whl":
        needed = {name for name in files if name.startswith(PACKAGES) and not name.endswith(".c")}
        return needed - set(zipfile.ZipFile(built).namelist())
    with tarfile.open(built) as archive:
        return files - {name.partition("/")[2] for name in archive.getnames()}


def try_out(wheel: Path, folder: Path) -> None:
    """In an environment that has nothing else, far from the source."""
    python = folder / "venv" / "bin" / "python"
    venv.create(python.parents[1], with_pip=True)
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*install, "--require-hashes", "--requirement", "requirements-build.txt")
    run(*install, "--require-hashes", "--no-build-isolation", "--requirement", "requirements.txt")
    run(*install, "--no-deps", "--no-index", wheel)
    run(python, "-m", "pip", "check")
    print(run(python.with_name("switchroom"), "demo", "--once", cwd=folder).splitlines()[-1])


def main() -> None:
    (sdist,) = Path(sys.argv[1]).resolve().glob("*.tar.gz")
    (wheel,) = Path(sys.argv[1]).resolve().glob("*.whl")
    for built in (sdist, wheel):
        if lost := missing(built):
            sys.exit(f"{built.name} lacks {', '.join(sorted(lost))}")
    with tempfile.TemporaryDirectory(prefix="switchroom-package-") as folder:
        try_out(wheel, Path(folder))


if __name__ == "__main__":
    main()
