"""What the demo shows on the terminal."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from switchroom.logs import escaped

_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


@dataclass
class Story:
    """What happens, line by line, with the seconds since it began."""

    console: Console
    began: float = field(default_factory=time.monotonic)

    def title(self, text: str) -> None:
        self.console.print(Text(f"\n{text}", style="bold"))

    def line(self, mark: str, style: str, text: str) -> None:
        clock = Text(f"{time.monotonic() - self.began:7.3f} ", style="dim")
        self.console.print(clock.append(f"{mark:<8} ", style=style).append(_shortened(escaped(text))))


def _shortened(text: str) -> str:
    """With the beginning of each UUID only: enough to tell them apart, and lines stay readable."""
    return _UUID.sub(r"\1..", text)
