"""`python -m tests.chaos`: see docs/chaos.md."""

from gevent import monkey

monkey.patch_all()

import argparse
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import gevent

from tests.chaos.broken import BREAKS
from tests.chaos.faults import FAULTS, possible
from tests.chaos.run import RECOVERY_SECONDS, Report, Run

# A seeded bug must be found by so much of a run.
BUG_FAULTS, BUG_SECONDS, BUG_RATE = 40, 120.0, 25.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="which sequence of actions and faults (absent: a random one)")
    parser.add_argument("--faults", type=int, default=60, help="end after so many (%(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="or after so many minutes (%(default)s)")
    parser.add_argument("--only", help=f"kinds of faults, with commas between: {', '.join(FAULTS)}")
    parser.add_argument("--often", help="kinds that come twice for each other one of theirs, nodes or system")
    parser.add_argument("--rate", type=float, default=12.0, help="actions a second (%(default)s)")
    parser.add_argument("--recovery", type=float, default=RECOVERY_SECONDS, help="seconds for it (%(default)s)")
    parser.add_argument("--freeswitch", action="store_true", help="a real FreeSWITCH for one of the two nodes")
    parser.add_argument("--cluster", action="store_true", help="the store is a cluster of six")
    parser.add_argument("--break", dest="broken", default="", choices=BREAKS, help="run with a seeded bug")
    parser.add_argument("--bugs", action="store_true", help="run with each seeded bug, which must be found")
    parser.add_argument("--folder", type=Path, help="where logs go (absent: a temporary folder)")
    given = parser.parse_args()
    seed = random.randrange(1_000_000) if given.seed is None else given.seed
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=given.folder))
    kinds, often = (
        [name.strip() for name in names.split(",")] if names else None for names in (given.only, given.often)
    )
    if unknown := {*(kinds or ()), *(often or ())} - set(FAULTS):
        parser.error(f"no such kind of fault: {', '.join(unknown)}")
    if not possible(kinds, given.freeswitch, given.cluster):
        parser.error("none of these kinds of faults is possible in such a run")

    def say(line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, flush=True)

    # As Ctrl-C does it: nothing runs on.
    gevent.signal_handler(signal.SIGTERM, sys.exit, 143)
    say(f"seed {seed}, logs in {folder}")
    if given.bugs:
        return find_bugs(folder, seed)
    run = Run(
        folder, seed, kinds=kinds, often=often, broken=given.broken, real=given.freeswitch, cluster=given.cluster,
        rate=given.rate, recovery=given.recovery, say=say,
    )  # fmt: skip
    try:
        run.go(given.faults, given.minutes * 60)
    finally:
        # Whatever ends it.
        show(run.report, folder)
    return 1 if run.report.violations else 0


def show(report: Report, folder: Path) -> None:
    print(*report.table(), sep="\n")
    if report.violations:
        print(f"\n{len(report.violations)} VIOLATIONS with seed {report.seed}; logs in {folder}")
        print(*report.violations, "", "Their webhooks and requests:", *report.excerpts, sep="\n")


def find_bugs(folder: Path, seed: int) -> int:
    """-> how many seeded bugs were not found."""
    missed = 0
    for number, (name, bug) in enumerate(BREAKS.items()):
        place = folder / str(number)
        place.mkdir()
        report = Run(place, seed, kinds=list(bug.kinds), broken=name, rate=BUG_RATE, recovery=bug.recovery).go(
            BUG_FAULTS, BUG_SECONDS
        )
        missed += not report.violations
        what = (
            f"found after {report.faults} faults, {report.seconds:.0f} s: {report.violations[0][:160]}"
            if report.violations
            else "NOT FOUND"
        )
        print(f"{name} ({bug.what}): {what}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
