"""An engine for several callers: one thread speaks, callers wait for their rows. No Ray here."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import count
from typing import Protocol

from pipeline.engine.base import GenerationItem
from pipeline.engine.context import Chains, Context
from pipeline.errors import EngineFatalError, RowError
from pipeline.records import GeneratedCodes

log = logging.getLogger(__name__)


class SteppedEngine(Protocol):
    """What the service drives; `ContinuousEngine` is one."""

    @property
    def id(self) -> str: ...

    @property
    def speaking(self) -> Collection[int]: ...  # tickets of the rows that have a slot

    def add(self, item: GenerationItem, batch: int = 0) -> int: ...

    def advance(self) -> list[tuple[int, GeneratedCodes]]: ...

    def cancel(self, ticket: int) -> bool: ...


class EngineService:
    """Rows of all callers share the slots: while one caller's last rows are spoken, another's fill up.

    At most `max_rows` rows are in line or being spoken; further callers wait in `speak`. A row that is not
    done `deadline_s` seconds after it got a slot fails with `generation_timeout`. When the engine fails,
    every row it had fails with that error, and so does every later call: the process is of no more use.
    With a `context`, rows that follow each other are spoken one after another.
    """

    def __init__(
        self, engine: SteppedEngine, *, max_rows: int, deadline_s: float, context: Context | None = None
    ) -> None:
        self.engine = engine
        self._context = context
        self._deadline_s = deadline_s
        self._room = threading.Semaphore(max_rows)
        self._wake = threading.Condition()
        self._arrived: deque[tuple[GenerationItem, int, Future[GeneratedCodes]]] = deque()
        self._waited_for: dict[int, Future[GeneratedCodes]] = {}
        self._began: dict[int, float] = {}
        self._fatal: EngineFatalError | None = None
        self._closed = False
        self._batches = count()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def id(self) -> str:
        return self.engine.id

    def speak(self, items: Sequence[GenerationItem]) -> list[GeneratedCodes | RowError]:
        """The codes of `items`, in their order, a RowError in the place of each that cannot be spoken.

        Raises EngineFatalError if the engine has failed.
        """
        batch = next(self._batches)
        chains = Chains(items, self._context)
        awaited = {self._submit(item, batch): place for place, item in chains.first()}
        while awaited:
            for future in wait(awaited, return_when=FIRST_COMPLETED).done:
                ended = chains.ended(awaited.pop(future), _outcome(future))
                awaited |= {self._submit(item, batch): place for place, item in ended}
        return chains.spoken

    def close(self) -> None:
        """End the thread once it has nothing more to speak."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def _submit(self, item: GenerationItem, batch: int) -> Future[GeneratedCodes]:
        future: Future[GeneratedCodes] = Future()
        self._room.acquire()
        with self._wake:
            if self._fatal is not None:
                self._room.release()
                raise self._fatal
            self._arrived.append((item, batch, future))
            self._wake.notify()
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _run(self) -> None:
        try:
            while self._take_in():
                for ticket, codes in self.engine.advance():
                    if ticket in self._waited_for:
                        self._waited_for.pop(ticket).set_result(codes)
                self._drop_late()
        except Exception as error:  # whatever it is, the rows' callers must not wait for ever
            log.exception("the engine failed")
            self._fail(error)

    def _take_in(self) -> bool:
        """Rows that have arrived go in line; waits where there is nothing to speak. False when closed."""
        with self._wake:
            self._wake.wait_for(lambda: self._arrived or self._waited_for or self._closed)
            open_ = bool(self._arrived or self._waited_for) or not self._closed
        while self._arrived:
            item, batch, future = self._arrived[0]  # it stays there until it is in line: see _fail
            try:
                self._waited_for[self.engine.add(item, batch)] = future
            except RowError as error:
                future.set_exception(error)
            self._arrived.popleft()
        return open_

    def _drop_late(self) -> None:
        now = time.monotonic()
        self._began = {ticket: self._began.get(ticket, now) for ticket in self.engine.speaking}
        for ticket in [ticket for ticket, began in self._began.items() if now - began > self._deadline_s]:
            self.engine.cancel(ticket)
            late = f"not spoken within {self._deadline_s:g} s (model.row_deadline_s)"
            self._waited_for.pop(ticket).set_exception(RowError("generation_timeout", late))

    def _fail(self, error: Exception) -> None:
        fatal = (
            error
            if isinstance(error, EngineFatalError)
            else EngineFatalError(f"the engine failed: {error!r}")
        )
        with self._wake:
            self._fatal = fatal
            futures = [future for *_, future in self._arrived]
            futures += self._waited_for.values()
            self._arrived.clear()
            self._waited_for = {}
        for future in futures:
            future.set_exception(fatal)


def _outcome(future: Future[GeneratedCodes]) -> GeneratedCodes | RowError:
    try:
        return future.result()
    except RowError as error:
        return error
