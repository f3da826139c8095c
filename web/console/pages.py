"""The files of the console's pages. All are read at start, so no path of a request ever reaches the file system."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "static"
SHELL = "index.html"

# Stands in the shell for what is asked for in the files' addresses, so that browsers may keep them for good.
_VERSION = b"@version@"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}


class File(NamedTuple):
    content: bytes
    type: str


class Pages:
    """The files below `folder` by their path, without those of other types than _TYPES. `version`: a hash of all."""

    def __init__(self, folder: Path = FOLDER) -> None:
        paths = sorted(path for path in folder.rglob("*") if path.suffix in _TYPES)
        self.files = {str(path.relative_to(folder)): File(path.read_bytes(), _TYPES[path.suffix]) for path in paths}
        digest = hashlib.sha256()
        for name, file in self.files.items():
            digest.update(f"{name} {len(file.content)} ".encode() + file.content)
        self.version = digest.hexdigest()[:12]
        shell = self.files.pop(SHELL, File(b"", _TYPES[".html"]))
        self.shell = shell._replace(content=shell.content.replace(_VERSION, self.version.encode()))
