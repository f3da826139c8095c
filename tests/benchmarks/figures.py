"""What benchmarks come to: each notes its figures, `make bench` shows those of all, and two runs can be compared.

    python -m tests.benchmarks.figures run build/bench.jsonl [bench_esl ...]
    python -m tests.benchmarks.figures compare before.jsonl build/bench.jsonl

The machine and what else runs on it change all figures alike, so those that say most have another side in the same run
(`beside`): then the ratio of the two is what is compared.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

ALL = (
    "bench_esl",
    "bench_webhooks",
    "bench_event_to_webhook",
    "bench_command",
    "bench_api",
    "bench_scripts",
    "bench_streams",
    "bench_speakers",
    "bench_scale",
)
# Where figures go; set by `run`.
FILE = "SWITCHROOM_BENCH_FILE"


@dataclass(frozen=True, slots=True)
class Figure:
    """`beside`: the same of the other side, 0 if there is none. `more_is_better`: whether a larger value is."""

    benchmark: str
    name: str
    value: float
    unit: str
    beside: float = 0.0
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times as good as the other side it is."""
        if not self.beside or not self.value:
            return 0.0
        return self.value / self.beside if self.more_is_better else self.beside / self.value


def note(name: str, value: float, unit: str, *, beside: float = 0.0, more_is_better: bool = False) -> None:
    """Keeps a figure of the benchmark that runs, if a file is asked for."""
    if path := os.environ.get(FILE):
        figure = Figure(Path(sys.argv[0]).stem, name, value, unit, beside, more_is_better)
        with open(path, "ab") as file:
            file.write(orjson.dumps(asdict(figure)) + b"\n")


def read(path: Path) -> list[Figure]:
    return [Figure(**orjson.loads(line)) for line in path.read_bytes().splitlines()]


def run(path: Path, benchmarks: list[str]) -> int:
    """Runs each, and shows all of their figures. -> how many have failed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    failed = []
    for name in benchmarks:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"tests.benchmarks.{name}"]
        if subprocess.run(command, env={**os.environ, FILE: str(path)}, check=False).returncode:
            failed.append(name)
    table = Table("benchmark", "figure", title=str(path))
    for heading in ("value", "beside", "times as good"):
        table.add_column(heading, justify="right")
    for figure in read(path) if path.exists() else []:
        table.add_row(figure.benchmark, figure.name, _shown(figure.value, figure.unit), *_other(figure))
    Console().print(table)
    for name in failed:
        print(f"{name} failed")
    return len(failed)


def compare(before: Path, after: Path) -> None:
    """Shows the figures of two runs side by side, and what became of each."""
    earlier = {(figure.benchmark, figure.name): figure for figure in read(before)}
    table = Table("benchmark", "figure")
    for heading in ("before", "after", "better by"):
        table.add_column(heading, justify="right")
    for figure in read(after):
        old = earlier.get((figure.benchmark, figure.name))
        was = _compared(old) if old else "-"
        table.add_row(figure.benchmark, figure.name, was, _compared(figure), _change(old, figure))
    Console().print(table)


def _change(old: Figure | None, new: Figure) -> str:
    if old is None or not old.value or not new.value:
        return "-"
    if old.ratio and new.ratio:
        return f"{new.ratio / old.ratio:.2f}"
    return f"{new.value / old.value if new.more_is_better else old.value / new.value:.2f}"


def _compared(figure: Figure) -> str:
    return f"{figure.ratio:.2f} times" if figure.ratio else _shown(figure.value, figure.unit)


def _other(figure: Figure) -> tuple[str, str]:
    if not figure.beside:
        return "", ""
    return _shown(figure.beside, figure.unit), f"{figure.ratio:.2f}"


def _shown(value: float, unit: str) -> str:
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("file", type=Path)
    running.add_argument("benchmarks", nargs="*")
    comparing = commands.add_parser("compare")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    options = parser.parse_args()
    if options.command == "compare":
        compare(options.before, options.after)
        return 0
    return run(options.file, options.benchmarks or list(ALL))


if __name__ == "__main__":
    sys.exit(main())
