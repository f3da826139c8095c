"""Does what is due of the recordings in a relay's folder: sends them to their apps, and removes what is over.

The store says what is due, partition by partition, and when there is more. What comes to the folder is looked at when
it does, and what others have changed, such as a recording that was deleted, in its turn: one partition each time. So it
costs little while nothing is recorded. Whoever asks has an upload for as long as it may take at the most; then it is
due again, so a process that was killed loses nothing. Several processes may share a folder.
"""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gevent
import structlog
from gevent.event import Event as Flag
from gevent.pool import Pool
from prometheus_client import Counter, Gauge

from controller.errors import ScriptFailed, StoreUnavailable
from controller.recordings.folder import Folder, Received
from controller.recordings.upload import MIN_BYTES_PER_SECOND, MIN_SECONDS, Upload, Uploader
from controller.store import keys
from controller.store.scripts import arguments
from controller.store.store import Reply, Store

LOOK_SECONDS = 2.0  # so each partition has its turn twice a minute
TIDY_SECONDS = 600.0
# After which a file that the store does not know is removed. It may just have come, while the store was away.
UNKNOWN_SECONDS = 86400.0
MAX_UPLOADS = 16  # at a time
MAX_UPLOADS_OF_APP = 4
# Seconds from a failed attempt to the next one, for most of a day.
DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0, 21600.0, 21600.0)
# What an upload has besides its time, to say what came of it.
LEASE_MARGIN_SECONDS = 30.0
ASKED_AT_ONCE = 100
FILE_LOST = "file_lost"  # why there was no attempt, and will be none

log = structlog.get_logger(__name__)

received_total = Counter(
    "switchroom_recordings_received",
    "Recordings that nodes have sent: stored, known (already, or no more), or why they were not taken",
    ["outcome"],
)
given_up_total = Counter("switchroom_recordings_given_up", "Recordings that could not be sent to their apps' URLs")
# 0 from the start, for its alert.
received_total.labels("disk_full")
kept_bytes = Gauge("switchroom_recordings_kept_bytes", "Bytes of recordings that the relay has on disk")


class Keeper:
    """From `start` to `stop`. `keep_seconds`: for how long a recording can be fetched. `delays`: between the attempts
    of an upload.
    """

    def __init__(
        self,
        store: Store,
        folder: Folder,
        uploader: Uploader,
        *,
        keep_seconds: float,
        delays: Sequence[float] = DELAYS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._folder = folder
        self._uploader = uploader
        self._keep_ms = int(keep_seconds * 1000)
        self._delays = delays
        self._clock = clock
        self._uploads = Pool(MAX_UPLOADS)
        self._of_apps: Counts[str] = Counts()
        self._wakes = Flag()
        # When (monotonic seconds) there is more of a partition, as far as is known.
        self._due = dict.fromkeys(keys.TAGS, 0.0)
        self._turns = itertools.cycle(keys.TAGS)
        self._greenlets: list[gevent.Greenlet[..., None]] = []

    def start(self) -> None:
        self._greenlets = [
            gevent.spawn(self._repeat, self.look_around, LOOK_SECONDS),
            gevent.spawn(self._repeat, self.tidy, TIDY_SECONDS),
        ]

    def stop(self, timeout: float) -> None:
        """An upload that is cut off is due again when its time is over."""
        gevent.killall(self._greenlets, timeout=timeout)
        self._uploads.kill(timeout=timeout)

    def received(self, tag: str, recording_id: str, received: Received) -> bool:
        """A node has sent a file, which is in the folder. Returns whether it stays. Raises StoreUnavailable."""
        about = {"size": received.size, "length_ms": received.length_ms}
        reply = self._step("recording_stored", tag, {"recording_id": recording_id, **about})
        if not reply["kept"]:
            self._folder.remove(recording_id)
        self._look_soon(tag)
        return bool(reply["kept"])

    def look_around(self) -> None:
        """Begins what is due of the partitions that have anything, and of the one whose turn it is. Raises
        StoreUnavailable.
        """
        now, turn = self._clock(), next(self._turns)
        self.look([tag for tag, at in self._due.items() if at <= now or tag == turn])

    def look(self, tags: Iterable[str] = keys.TAGS) -> None:
        """Begins what is due. Raises StoreUnavailable."""
        for tag in tags:
            # Before it is asked: what comes meanwhile is looked at next time.
            before, self._due[tag] = self._due[tag], math.inf
            try:
                self._look_at(tag)
            except (StoreUnavailable, ScriptFailed, OSError):
                self._due[tag] = min(before, self._due[tag])
                raise

    def _look_at(self, tag: str) -> None:
        due = self._step(
            "recordings_due",
            tag,
            {
                "limit": self._uploads.free_count(),
                "per_app": MAX_UPLOADS_OF_APP,
                "under_way": dict(self._of_apps),
                "lease_ms": int((MIN_SECONDS + LEASE_MARGIN_SECONDS) * 1000),
                "bytes_per_second": MIN_BYTES_PER_SECOND,
            },
        )
        for recording_id in due["gone"]:
            self._folder.remove(recording_id)
        for task in due["uploads"]:
            self._of_apps[task["app"]] += 1
            self._uploads.spawn(self._upload, tag, **task)
        if "next_ms" in due:
            self._due[tag] = min(self._due[tag], self._clock() + due["next_ms"] / 1000)

    def _look_soon(self, tag: str) -> None:
        self._due[tag] = 0.0
        self._wakes.set()

    def tidy(self) -> None:
        """Removes what nobody knows. Raises StoreUnavailable, OSError."""
        kept_bytes.set(self._folder.size())
        left = self._folder.old(UNKNOWN_SECONDS)
        for at in range(0, len(left), ASKED_AT_ONCE):
            asked = left[at : at + ASKED_AT_ONCE]
            known: set[str] = set()
            for tag in keys.TAGS:
                known.update(self._step("recordings_known", tag, {"recording_ids": asked})["known"])
            for recording_id in asked:
                if recording_id not in known:
                    log.warning("a recording that nobody knows is removed", recording=recording_id)
                    self._folder.remove(recording_id)

    def _upload(self, tag: str, recording_id: str, app: str, url: str, attempt: int) -> None:
        try:
            upload = self._attempt(recording_id, app, url)
            is_last = attempt > len(self._delays) or upload.reason == FILE_LOST
            reply = self._step(
                "recording_uploaded",
                tag,
                {
                    "recording_id": recording_id,
                    "attempt": attempt,
                    "is_success": upload.is_success,
                    "http_status": upload.status,
                    "delay_ms": None if is_last else int(self._delays[attempt - 1] * 1000),
                },
            )
            if is_last and not upload.is_success:
                given_up_total.inc()
            if reply["is_gone"]:
                self._folder.remove(recording_id)
            self._look_soon(tag)
        except (StoreUnavailable, ScriptFailed) as error:
            log.warning("what came of an upload is not stored", recording=recording_id, reason=str(error))
        finally:
            self._of_apps[app] -= 1
            if not self._of_apps[app]:
                del self._of_apps[app]

    def _attempt(self, recording_id: str, app: str, url: str) -> Upload:
        try:
            file = self._folder.open(recording_id)
            if file is None:
                log.error("a recording is not in the folder any more", recording=recording_id)
                return Upload(reason=FILE_LOST)
            with file:
                return self._uploader.upload(app, url, file, file.seek(0, 2))
        except OSError as error:
            log.error("a recording cannot be read", recording=recording_id, reason=error.strerror)
            return Upload(reason="unreadable")

    def _step(self, script: str, tag: str, args: dict[str, Any]) -> Reply:
        taken = {"keep_ms": self._keep_ms} if "keep_ms" in arguments(script) else {}
        return self._store.run(script, tag, {**args, **taken, "holder": self._folder.holder})

    def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while True:
            try:
                work()
            except (StoreUnavailable, ScriptFailed, OSError) as error:
                log.warning("recordings were not looked after", reason=str(error))
            if work == self.look_around:
                self._wakes.wait(seconds)
                self._wakes.clear()
            else:
                gevent.sleep(seconds)
