"""Who works on a run: a second driver says so and stops, instead of doing the work twice.

`driver.json` names the driver and is written anew every half minute. Between drivers of a run it is advice
only: that nothing is lost or doubled rests on create-once commits, whoever believes what about this file.
Stores cannot swap it in one step everywhere: a heartbeat that is under way may undo a take-over, and then
the taker stops. What replaces commits (a withdrawal) asks for more: see `Lease.presume_dead`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType, TracebackType

from pipeline.destination import store_time
from pipeline.errors import RunBusyError, RunConflictError, StorageError
from pipeline.storage import ObjectMissing, Store

LEASE_KEY = "driver.json"
_HEARTBEAT_S = 30.0
_STALE_S = 120.0
_PATIENCE_S = 5.0  # for a heartbeat under way when the work ends
# Ray passes on what a handler raises only if it is a KeyboardInterrupt
_SIGNAL = signal.SIGUSR2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Driver:
    id: str
    host: str
    pid: int
    pid_namespace: str  # two containers may have the same host name, and the same pid for other processes
    since_unix_s: int  # by its own clock, for people
    heartbeats: int

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.since_unix_s))
        return f"process {self.pid} on {self.host} (since {since})"


def driver_of(store: Store) -> Driver | None:
    """Who holds a run's lease, dead or alive. Raises RunConflictError for a damaged one."""
    try:
        return Driver(**json.loads(store.get(LEASE_KEY)))
    except ObjectMissing:
        return None
    except (ValueError, TypeError) as error:
        raise RunConflictError(
            f"{store.uri}: {LEASE_KEY} is damaged; see that no driver is at work, and delete it"
        ) from error


def _this_driver() -> Driver:
    return Driver(
        uuid.uuid4().hex, socket.gethostname(), os.getpid(), _pid_namespace(), int(time.time()), heartbeats=0
    )


class Lease:
    """`with Lease(store, take_over=False, say=print):` around the work of a driver, in its main thread.

    Raises RunBusyError at the start while another driver works on the run, unless it is to be taken
    over; a driver that shows no sign of life is taken over unasked, and `say` gets a line (not with
    `presume_dead=False`: it may be asleep, and wake up). Raises RunBusyError in the midst of the work,
    within one heartbeat, when another has taken over. In another thread than the main one that is told at
    the end only, which does no harm.
    """

    def __init__(
        self, store: Store, *, take_over: bool, say: Callable[[str], object], presume_dead: bool = True
    ) -> None:
        self._store, self._take_over, self._say = store, take_over, say
        self._presume_dead = presume_dead
        self._mine = _this_driver()
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._beat_until_ended, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._acquire()
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._before = signal.signal(_SIGNAL, _interrupt)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(_PATIENCE_S)
        if self._in_main_thread:
            signal.signal(_SIGNAL, self._before)
        if self._lost:
            raise RunBusyError(
                f"{self._store.uri}: another driver has taken this run over{self._by_whom()}; this one "
                "stops, and what it has committed stands"
            ) from error
        self._release()

    def _acquire(self) -> None:
        while not self._store.create(LEASE_KEY, _to_json(self._mine)):
            other = self._read()
            if other is None:
                continue  # it has just ended
            why = "as asked" if self._take_over else self._sign_of_death(other)
            if why is None:
                raise RunBusyError(
                    f"{self._store.uri}: {other} is working on this run; wait for it or stop it, or take "
                    "the run over with --take-over, which stops the other one"
                )
            self._say(f"taking over from {other}: {why}")
            self._store.put(LEASE_KEY, _to_json(self._mine))
            return

    def _sign_of_death(self, other: Driver) -> str | None:
        """Why the other driver must be dead, or None if it may live."""
        here = (socket.gethostname(), _pid_namespace())
        if (other.host, other.pid_namespace) == here and not _is_running(other.pid):
            return "it has ended"
        # both times are the store's: clocks of two machines may differ
        try:
            silent_s = store_time(self._store) - self._store.modified(LEASE_KEY)
        except ObjectMissing:
            return "it has ended"
        is_silent = self._presume_dead and silent_s > _STALE_S
        return f"no sign of life for {silent_s:.0f} s" if is_silent else None

    def _beat_until_ended(self) -> None:
        while not self._ended.wait(_HEARTBEAT_S):
            try:
                holder = self._read()
                self._lost = holder is None or holder.id != self._mine.id
                if not self._lost:
                    self._mine = replace(self._mine, heartbeats=self._mine.heartbeats + 1)
                    self._store.put(LEASE_KEY, _to_json(self._mine))
            except StorageError:  # the work itself will say so; if it goes on, so does the lease
                log.warning("%s: no heartbeat", self._store.uri, exc_info=True)
            if self._lost and self._in_main_thread:
                # at every heartbeat until it ends: one may fall where Python swallows what is raised
                signal.pthread_kill(threading.main_thread().ident or 0, _SIGNAL)

    def _release(self) -> None:
        try:
            holder = self._read()
            if holder is not None and holder.id == self._mine.id:
                self._store.delete(LEASE_KEY)
        except StorageError:  # it must not hide how the work ended; the lease grows old by itself
            log.warning("%s: the lease is not released", self._store.uri, exc_info=True)

    def _by_whom(self) -> str:
        try:
            holder = self._read()
        except StorageError:
            return ""
        return "" if holder is None else f" ({holder})"

    def _read(self) -> Driver | None:
        return driver_of(self._store)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _pid_namespace() -> str:
    """Of this boot of this machine: the first namespace has the same number everywhere. Empty where the
    system has none."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists() or not os.path.lexists(namespace):
        return ""
    return f"{boot.read_text().strip()} {os.readlink(namespace)}"


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _to_json(driver: Driver) -> bytes:
    return json.dumps(asdict(driver), sort_keys=True).encode()
