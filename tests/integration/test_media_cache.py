"""The cache on a real file system: what is found, what is removed, and what others and a crash leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.media.cache import SPARED_SECONDS, UNIT_BYTES, UNUSED_SECONDS, Cache, Entry
from controller.media.origin import Validators
from tests.clock import Clock
from tests.integration.cache_worker import APPS, MAX_BYTES, RATES, URLS, check

URL = "http://files.example/secret?token=word"
SIZE = 3 * UNIT_BYTES  # that an entry of `put` counts with: its record, and its source


class Files:
    """A cache, and what tests do with it again and again."""

    def __init__(self, folder: Path, max_bytes: int = 1 << 30) -> None:
        self.folder = folder
        self.clock = Clock(time.time())
        self.cache = Cache(folder, max_bytes, self.clock, spared_seconds=0)

    def put(self, app: str = "app", url: str = URL, content: bytes = b"x" * (2 * UNIT_BYTES), etag: str = "") -> Entry:
        self.clock.now += 1
        path, file = self.cache.new_file()
        with file:
            file.write(content)
        return self.cache.put(app, url, path, len(content), Validators(etag), self.clock.now + 60)

    def put_pcm(self, entry: Entry, rate: int = 8000, frames: int = 10) -> Entry:
        path, file = self.cache.new_file()
        with file:
            file.write(b"\1\2" * frames)
        return self.cache.put_pcm(entry, rate, path, frames)

    @property
    def names(self) -> set[str]:
        return set(os.listdir(self.folder))

    def found(self, app: str, count: int) -> list[int]:
        return [number for number in range(count) if self.cache.find(app, str(number))]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "cache")


# What is found


def test_a_file_is_found_as_it_was_put(files: Files) -> None:
    entry = files.put(content=b"sound", etag='"\xfc"')
    assert files.cache.find("app", URL) == entry
    assert (entry.size, entry.validators, entry.fresh_until) == (5, Validators('"\xfc"'), files.clock.now + 60)
    assert files.cache.source(entry).read_bytes() == b"sound"
    assert files.cache.pcm(entry, 8000) is None


def test_it_is_of_one_app_and_one_url(files: Files) -> None:
    files.put()
    assert files.cache.find("other", URL) is None
    assert files.cache.find("app", f"{URL}&") is None
    assert files.cache.find("app", "\ud800") is None


def test_it_is_found_by_another_process_and_later(files: Files) -> None:
    entry = files.put_pcm(files.put())
    assert Files(files.folder).cache.find("app", URL) == entry


def test_an_empty_file(files: Files) -> None:
    assert files.put(content=b"") == files.cache.find("app", URL)


def test_its_pcm_at_each_rate(files: Files) -> None:
    entry = files.put()
    for rate in RATES:
        entry = files.put_pcm(entry, rate, frames=rate)
    assert files.cache.find("app", URL) == entry
    assert entry.frames == {rate: rate for rate in RATES}
    for rate in RATES:
        path = files.cache.pcm(entry, rate)
        assert path is not None
        assert path.read_bytes() == b"\1\2" * rate
    assert files.cache.pcm(entry, 16000) is None


def test_it_is_freshened(files: Files) -> None:
    entry = files.put_pcm(files.put())
    fresher = files.cache.freshen(entry, 5.0)
    assert files.cache.find("app", URL) == fresher
    assert (fresher.version, fresher.frames, fresher.fresh_until) == (entry.version, entry.frames, 5.0)


def test_nothing_of_its_url_is_on_the_disk(files: Files) -> None:
    files.put_pcm(files.put())
    written = " ".join(files.names).encode() + b" ".join(path.read_bytes() for path in files.folder.iterdir())
    assert not any(word in written for word in (b"secret", b"token", b"example"))


def test_nobody_else_may_read_it(files: Files) -> None:
    before = os.umask(0)
    try:
        fresh = Files(files.folder.parent / "other")
        fresh.put_pcm(fresh.put())
        fresh.cache.new_file()[1].close()
    finally:
        os.umask(before)
    assert fresh.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in fresh.folder.iterdir()} == {0o600}


# New versions


def test_a_new_version_takes_the_place_of_the_old_one(files: Files) -> None:
    old = files.put_pcm(files.put(content=b"old"))
    new = files.put(content=b"new")
    assert files.cache.find("app", URL) == new
    assert new.version != old.version
    assert files.cache.pcm(new, 8000) is None
    # Who still plays the old one may go on.
    assert files.cache.source(old).read_bytes() == b"old"
    assert files.cache.pcm(old, 8000)


def test_who_is_late_does_no_harm_to_a_new_version(files: Files) -> None:
    old = files.put(content=b"old")
    new = Files(files.folder).put(content=b"new")
    late = files.put_pcm(old)
    files.cache.freshen(late, 1.0)
    files.cache.touch(late)
    assert files.cache.find("app", URL) == new
    assert files.cache.source(new).read_bytes() == b"new"
    assert files.cache.pcm(new, 8000) is None
    # To the one who is late it is as if nothing had happened.
    assert files.cache.pcm(late, 8000)


def test_who_is_late_for_what_was_removed(files: Files) -> None:
    entry = files.put()
    files.cache.max_bytes = 0
    files.cache.sweep()
    late = files.cache.freshen(files.put_pcm(entry), 1.0)
    files.cache.touch(entry)
    assert files.cache.find("app", URL) is None
    assert files.cache.pcm(late, 8000)
    files.clock.now += UNUSED_SECONDS + 1
    files.cache.sweep()
    assert not files.names


# What is broken counts as absent


def record_of(files: Files) -> Path:
    return next(files.folder.glob("*.json"))


@pytest.mark.parametrize(
    "kind", ["no source", "shorter source", "longer source", "no record", "empty record", "no access"]
)
def test_what_is_broken_is_absent(files: Files, kind: str) -> None:
    entry = files.put(content=b"sound")
    source, record = files.cache.source(entry), record_of(files)
    {
        "no source": source.unlink,
        "shorter source": lambda: source.write_bytes(b"soun"),
        "longer source": lambda: source.write_bytes(b"sounds"),
        "no record": record.unlink,
        "empty record": lambda: record.write_bytes(b""),
        "no access": lambda: (record.unlink(), record.mkdir()),
    }[kind]()
    assert files.cache.find("app", URL) is None
    if kind != "no access":
        entry = files.put()
        assert files.cache.find("app", URL) == entry


@pytest.mark.parametrize("content", [None, b"", b"\1\2" * 9, b"\1\2" * 11])
def test_pcm_that_is_broken_is_absent(files: Files, content: bytes | None) -> None:
    entry = files.put_pcm(files.put())
    path = files.cache.pcm(entry, 8000)
    assert path is not None
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert files.cache.pcm(entry, 8000) is None
    assert files.cache.find("app", URL) == entry


RECORD = b'{"version":"v","size":5,"validators":{"etag":"","last_modified":""},"fresh_until":1e400,"frames":{"8000":1}}'
CUTS = st.tuples(st.integers(0, len(RECORD)), st.binary(max_size=4), st.integers(0, len(RECORD)))


@given(st.binary(max_size=40) | CUTS.map(lambda cut: RECORD[: cut[0]] + cut[1] + RECORD[cut[2] :]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_record_holds(files: Files, written: bytes) -> None:
    if not files.names:
        files.put()
    record_of(files).write_bytes(written)
    assert files.cache.find("app", URL) is None


# What is removed


def test_a_sweep_leaves_what_there_is_room_for(files: Files) -> None:
    entry = files.put_pcm(files.put())
    names = files.names
    files.clock.now += 10 * UNUSED_SECONDS
    files.cache.sweep()
    assert files.cache.find("app", URL) == entry
    assert files.names == names


def test_what_is_used_in_all(files: Files) -> None:
    files.put_pcm(files.put())
    files.cache.used_bytes = 0
    files.cache.sweep()
    assert files.cache.used_bytes == SIZE + UNIT_BYTES
    assert Files(files.folder).cache.used_bytes == 0


def test_the_least_recently_used_goes_first(files: Files) -> None:
    entries = [files.put(url=str(number)) for number in range(4)]
    files.clock.now += 1
    files.cache.touch(entries[0])
    files.cache.max_bytes = 2 * SIZE
    files.cache.sweep()
    assert files.found("app", 4) == [0, 3]
    assert files.cache.used_bytes == 2 * SIZE
    assert len(files.names) == 2 * 3


def test_an_old_version_goes_before_the_new_one(files: Files) -> None:
    files.put()
    new = files.put()
    files.cache.max_bytes = SIZE
    files.cache.sweep()
    assert files.cache.find("app", URL) == new
    assert len(files.names) == 3


def test_the_app_that_has_the_most_gives_up_its_own(files: Files) -> None:
    for number in range(2):
        files.put("modest", str(number))
    for number in range(20):
        files.put("greedy", str(number))
    files.cache.max_bytes = 6 * SIZE
    files.cache.sweep()
    assert files.found("modest", 2) == [0, 1]
    assert files.found("greedy", 20) == [16, 17, 18, 19]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=20), st.integers(0, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_an_app_within_its_share_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory, puts: list[tuple[str, int]], room: int
) -> None:
    files = Files(tmp_path_factory.mktemp("cache"), max_bytes=room * UNIT_BYTES)
    sizes = [(app, url, 1 + max(1, size)) for url, (app, size) in enumerate(puts)]
    for app, url, size in sizes:
        files.put(app, str(url), b"x" * ((size - 1) * UNIT_BYTES))
    files.cache.sweep()
    assert files.cache.used_bytes <= files.cache.max_bytes
    apps = {app for app, *_ in sizes}
    for each in apps:
        own = [(str(url), size) for app, url, size in sizes if app == each]
        if sum(size for _, size in own) * len(apps) <= room:
            assert all(files.cache.find(each, url) for url, _ in own)
    if sum(size for *_, size in sizes) <= room:
        assert len(files.names) == 3 * len(sizes)


def test_what_is_open_is_read_to_its_end(files: Files) -> None:
    entry = files.put(content=b"sound")
    with files.cache.source(entry).open("rb") as file:
        files.cache.max_bytes = 0
        files.cache.sweep()
        assert not files.names
        assert file.read() == b"sound"
    with pytest.raises(FileNotFoundError):
        files.cache.source(entry).open("rb")


def test_what_is_not_finished_is_left_alone_while_it_is_young(files: Files) -> None:
    path, file = files.cache.new_file()
    old = files.put()
    files.put(content=b"new")
    with file:
        file.write(b"half")
        files.cache.sweep()
        assert path.exists()
        assert files.cache.source(old).exists()
    files.clock.now += UNUSED_SECONDS + 2
    files.cache.sweep()
    assert not path.exists()
    assert not files.cache.source(old).exists()
    assert len(files.names) == 3


def test_an_old_version_that_is_still_used_stays(files: Files) -> None:
    old = files.put()
    files.put()
    files.clock.now += UNUSED_SECONDS
    files.cache.touch(old)
    files.clock.now += UNUSED_SECONDS - 1
    files.cache.sweep()
    assert files.cache.source(old).exists()


def test_links_that_lead_nowhere_are_removed(files: Files) -> None:
    entry = files.put()
    record_of(files).unlink()
    files.cache.source(entry).unlink()
    files.cache.sweep()
    assert not files.names


def test_what_is_not_the_cache_s_is_not_touched(files: Files) -> None:
    (files.folder / "lost+found").mkdir()
    (files.folder / "thesis.part").write_text("x" * UNIT_BYTES)
    (files.folder / "link").symlink_to("thesis.part")
    files.put()
    files.clock.now += 2 * UNUSED_SECONDS
    files.cache.max_bytes = 0
    files.cache.sweep()
    assert files.names == {"lost+found", "thesis.part", "link"}
    assert files.cache.used_bytes == 0


# Several processes, and their end


def worker(folder: Path, *task: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-m", "tests.integration.cache_worker", str(folder), *task]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def ended_well(process: subprocess.Popen[str]) -> None:
    said = process.communicate(timeout=50)[1]
    assert process.returncode == 0, said


def whole(folder: Path) -> int:
    """Every entry is readable or absent, and a sweep leaves nothing that is not an entry's. Returns how many there are."""
    files = Files(folder, MAX_BYTES)
    files.clock.now = time.time() + UNUSED_SECONDS + 1
    found = [entry for app in APPS for url in URLS if (entry := files.cache.find(app, url))]
    for entry in found:
        assert files.cache.source(entry).exists()
        check(files.cache, entry)
    files.cache.sweep()
    assert files.cache.used_bytes <= MAX_BYTES
    left = {entry.version for app in APPS for url in URLS if (entry := files.cache.find(app, url))}
    assert left <= {entry.version for entry in found}
    links = {name for name in files.names if "." not in name}
    assert {name.partition(".")[0] for name in files.names - links} == left
    assert len(links) == len(left)
    assert not list(folder.glob("*.part"))
    return len(left)


def test_processes_that_do_everything_at_once(tmp_path: Path) -> None:
    for process in [worker(tmp_path, "run", "2") for _ in range(3)]:
        ended_well(process)
    assert whole(tmp_path)


def test_processes_that_are_killed_at_any_point(tmp_path: Path) -> None:
    ended_well(worker(tmp_path, "kill", "60"))
    whole(tmp_path)


FULL = ("unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=400k none "$0" && exec "$@"')


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    prefix = (*FULL, str(tmp_path))
    if subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted")
    ended_well(worker(tmp_path / "cache", "fill", prefix=prefix))


def test_what_was_just_used_is_spared_and_what_is_not_finished_makes_nobody_give_way(tmp_path: Path) -> None:
    clock = Clock()
    clock.now = time.time()  # Files have their own.
    cache = Cache(tmp_path, 1, clock)

    def put(url: str) -> None:
        path, file = cache.new_file()
        with file:
            file.write(bytes(SIZE))
        cache.put("app", url, path, SIZE, Validators(), 0)

    put("http://files.example/a")
    cache.sweep()
    assert cache.find("app", "http://files.example/a")
    clock.now += SPARED_SECONDS + 1
    cache.sweep()
    assert cache.find("app", "http://files.example/a") is None
    roomy = Cache(tmp_path, 2 * SIZE, clock, spared_seconds=0)
    put("http://files.example/b")
    _, unfinished = roomy.new_file()
    with unfinished:
        unfinished.write(bytes(10 * SIZE))
    roomy.sweep()
    assert roomy.find("app", "http://files.example/b")


def test_a_folder_that_was_removed_is_made_again(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 1)
    (tmp_path / "cache").rmdir()
    _, file = cache.new_file()
    file.close()
